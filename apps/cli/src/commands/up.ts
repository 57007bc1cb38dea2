import { defineCommand, OK } from '../command.ts';
import { banner } from '../up/banner.ts';
import { readSettings } from '../up/settings.ts';

/** A Ctrl-C reaches the process from the terminal and from each program in between: those are one. */
const SAME_SIGNAL_MS = 500;

export const up = defineCommand({
  name: 'up',
  summary: 'Run the API and one worker in this process, with everything they need',
  args: [],
  flags: {},
  remote: false,
  notes:
    'Everything lies in ARCUS_DATA (default: .data in the project). Addresses: ARCUS_API_LISTEN (127.0.0.1:7700),\n' +
    'ARCUS_PROXY_LISTEN (127.0.0.1:7800, the tenant demo, made at the first start), ARCUS_ADMIN_LISTEN\n' +
    '(127.0.0.1:7900, health and metrics). ARCUS_DATABASE_URL, ARCUS_STORE_URL and ARCUS_REDIS_URL replace the\n' +
    'embedded SQLite, file store and Redis. Once all of it answers, ready.json in the data folder says where.\n' +
    'Ctrl-C stops; again: at once. Exit code 1 when it cannot start.',
  examples: ['arcus up', 'ARCUS_DATA=/tmp/arcus ARCUS_API_LISTEN=127.0.0.1:17700 arcus up'],
  async run({ env, out }) {
    const settings = readSettings(env);
    // Everything that runs is loaded only here.
    const { start } = await import('../up/start.ts');
    const stopped = signalled();
    const running = await start(settings);
    if (out.json) out.data(running.ready);
    else out.say(banner(running, out));
    await stopped.first;
    stopped.second.then(() => running.close({ now: true }));
    if (!out.json) out.say('Stopping. Ctrl-C again cuts what still runs.');
    await running.close();
    stopped.forget();
    return OK;
  },
});

/** The first and the second wish to stop. */
function signalled() {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let since = 0;
  const listener = () => {
    if (since === 0) {
      since = performance.now();
      first.resolve();
    } else if (performance.now() - since > SAME_SIGNAL_MS) second.resolve();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, listener);
  const forget = () => {
    for (const signal of signals) process.off(signal, listener);
  };
  return { first: first.promise, second: second.promise, forget };
}
