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
/** A slow machine takes longer for so many sessions of orderly clients: with fewer a phase would say little. */
const LEAST = 1200;
/** Memory that a phase may add, as a part of what the proxy had after the first one. */
const GROWTH = 0.2;
/** A leak grows in each phase; buffers that are kept for further use, and the heap, find their size in the first ones. */
const PHASES = 3;

/**
 * A proxy at saturation for `seconds`, after `warmUp` seconds of the same: clients that reset, a site that resets,
 * slow readers, tunnels and forward requests mixed; then all is counted. As long again where memory has grown
 * meanwhile, up to `PHASES` times: then it grows without end.
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
        { deadline: 120_000, what: 'all sessions and connections end' },
      );
      return ask('rest');
    };
    const phase = async (length: number) => {
      const end = performance.now() + length * 1000;
      const running = (sessions: number) => !exited && (performance.now() < end || sessions < LEAST);
      return { tallies: await swarm(port, LANES, running), state: await rest() };
    };

    const first = await phase(warmUp);
    const phases = [first];
    const grew = () => phases.at(-1)!.state.rss - phases.at(-2)!.state.rss > first.state.rss * GROWTH;
    do phases.push(await phase(seconds));
    while (grew() && phases.length <= PHASES);
    const [before, last] = phases.slice(-2) as [typeof first, typeof first];
    const { state } = last;
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
      const sum = (of: 'sessions' | 'sent' | 'got') => phases.reduce((n, { tallies }) => n + tallies[kind][of], 0);
      same(`${kind} sessions in the log and of the clients`, seen.sessions, sum('sessions'));
      same(`${kind} bytes that clients sent`, seen.bytes_in, sum('sent'));
      same(`${kind} bytes that clients got`, seen.bytes_out, sum('got'));
    }
    same('tunnels counted as open', state.active, 0);
    if (state.pooled > 2 * 64) faults.push(`${state.pooled} idle connections to two sites`);
    if (grew()) faults.push(`memory grows with each phase, in MiB: ${phases.map((p) => mib(p.state.rss)).join(', ')}`);
    return {
      seconds,
      conversations: last.tallies.conversations,
      sessions: state.counted.sessions - before.state.counted.sessions,
      faults,
      rssBefore: mib(before.state.rss),
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
