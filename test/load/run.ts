import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { until } from '@arcus/testkit/until.ts';
import { ORDERLY, swarm } from './clients.ts';
import { startSite } from './origin.ts';
import type { State, Sum } from './proxy.ts';

export interface LoadReport {
  seconds: number;
  conversations: number;
  sessions: number;
  /** What must not be: each a sentence. Empty when all is well. */
  faults: string[];
  rssBefore: number;
  rssAfter: number;
  pooled: number;
}

const LANES = 200;

/**
 * A proxy at saturation for `seconds`, after `warmUp` seconds of the same: clients that reset, a site that resets,
 * slow readers, tunnels and forward requests mixed; then all is counted.
 */
export async function load(seconds: number, warmUp: number): Promise<LoadReport> {
  const site = await startSite();
  const child = fork(join(import.meta.dirname, 'proxy.ts'), [String(site.port)], {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
  });
  const faults: string[] = [];
  let exited = false;
  child.once('exit', (code, signal) => {
    exited = true;
    faults.push(`the proxy ended with ${code ?? signal}`);
  });
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const ask = async (what: 'state' | 'rest'): Promise<State> => {
      if (exited) throw new Error(faults.join());
      child.send(what);
      return ((await once(child, 'message')) as [State])[0];
    };
    /** All has ended: nothing may be left. */
    const rest = async () => {
      await until(
        async () => {
          const s = await ask('state');
          return s.sessions === 0 && s.open === 0;
        },
        { deadline: 40_000, what: 'all sessions and connections end' },
      );
      return ask('rest');
    };
    const phase = async (length: number) => {
      const end = performance.now() + length * 1000;
      const tallies = await swarm(port, LANES, () => performance.now() < end && !exited);
      return { tallies, state: await rest() };
    };

    const first = await phase(warmUp);
    const second = await phase(seconds);
    const { state } = second;
    const same = (what: string, a: number, b: number) => {
      if (a !== b) faults.push(`${what}: ${a} is not ${b}`);
    };
    const decided = Object.values(state.targets).reduce<Sum>(
      (sum, t) => ({
        sessions: sum.sessions + t.sessions,
        bytes_in: sum.bytes_in + t.bytes_in,
        bytes_out: sum.bytes_out + t.bytes_out,
      }),
      { sessions: 0, bytes_in: 0, bytes_out: 0 },
    );
    same('sessions in the counters and in the log', state.counted.sessions, decided.sessions);
    same('bytes_in in the counters and in the log', state.counted.bytes_in, decided.bytes_in);
    same('bytes_out in the counters and in the log', state.counted.bytes_out, decided.bytes_out);
    for (const kind of ['forward', 'tunnel'] as const) {
      const seen = state.targets[ORDERLY[kind]]!;
      const [a, b] = [first.tallies[kind], second.tallies[kind]];
      same(`${kind} sessions in the log and of the clients`, seen.sessions, a.sessions + b.sessions);
      same(`${kind} bytes that clients sent`, seen.bytes_in, a.sent + b.sent);
      same(`${kind} bytes that clients got`, seen.bytes_out, a.got + b.got);
    }
    same('tunnels counted as open', state.active, 0);
    if (state.pooled > 2 * 64) faults.push(`${state.pooled} idle connections to two sites`);
    if (state.rss > first.state.rss * 1.2)
      faults.push(`memory grew from ${mib(first.state.rss)} to ${mib(state.rss)} MiB`);
    return {
      seconds,
      conversations: second.tallies.conversations,
      sessions: state.counted.sessions - first.state.counted.sessions,
      faults,
      rssBefore: mib(first.state.rss),
      rssAfter: mib(state.rss),
      pooled: state.pooled,
    };
  } finally {
    child.removeAllListeners('exit');
    child.kill();
    await site.close();
  }
}

const mib = (bytes: number) => Math.round(bytes / 1024 / 1024);
