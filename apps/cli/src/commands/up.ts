import { defineCommand, OK } from '../command.ts';
import { banner } from '../up/banner.ts';
import { readSettings } from '../up/settings.ts';

/** A Ctrl-C reaches the process from the terminal and from each program in between: those are one. */
const SAME_SIGNAL_MS = 500;

/** What a shell says of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

export const up = defineCommand({
  name: 'up',
  summary: 'Run the API and one worker in this process, with everything they need',
  args: [],
  flags: {},
  remote: false,
  notes:
    'Everything lies in ARCUS_DATA (default: .data in the project). Addresses: ARCUS_API_LISTEN (127.0.0.1:7700),\n' +
    'ARCUS_PROXY_LISTEN (127.0.0.1:7800, the tenant demo, made at the first start), ARCUS_ADMIN_LISTEN\n' +
    '(127.0.0.1:7900, health and metrics of the worker), ARCUS_HEALTH_LISTEN (127.0.0.1:7701, health of the API, which\n' +
    'the tenant demo may reach). ARCUS_DATABASE_URL, ARCUS_STORE_URL and ARCUS_REDIS_URL replace the\n' +
    'embedded SQLite, file store and Redis. Once all of it answers, ready.json in the data folder says where.\n' +
    'Ctrl-C stops; again: at once. Exit code 1 when it cannot start, 130 when it was stopped before it was ready.',
  examples: ['arcus up', 'ARCUS_DATA=/tmp/arcus ARCUS_API_LISTEN=127.0.0.1:17700 arcus up'],
  async run({ env, out }) {
    const settings = readSettings(env);
    // Everything that runs is loaded only here.
    const { Interrupted, start } = await import('../up/start.ts');
    const stopped = signalled();
    const given = new AbortController();
    void stopped.first.then(() => given.abort());
    let starting = true;
    // Nothing that is worth waiting for runs yet.
    void stopped.second.then(() => starting && process.exit(INTERRUPTED));
    let running: Awaited<ReturnType<typeof start>>;
    try {
      running = await start(settings, { signal: given.signal, notice: (text) => out.warn(`arcus: ${text}`) });
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      out.warn('arcus: stopped before it was ready');
      // What was about to be opened may hold the process.
      setTimeout(() => process.exit(INTERRUPTED), SAME_SIGNAL_MS).unref();
      return INTERRUPTED;
    }
    starting = false;
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
