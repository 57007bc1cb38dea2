/** Rows about what people who browse notice of releases and restarts: nothing. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { freePort } from '@arcus/testkit/port.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Lab } from '../../lab.ts';
import type { Result, Row } from '../../row.ts';
import { numberedConfig, startSites, Traffic } from '../traffic.ts';
import { sharedWorld, useAllCores } from '../world.ts';

const programs = ['taskset', 'mariadbd', 'etcd', 'redis-server'] as const;
const page = 'control';
const LOAD = { requestsPerSecond: 1800, newPerSecond: 200, tunnels: 400, webSockets: 100 };
const RELEASES = 1000;
const RESTARTS = 20;
const PROCESSES = 4;
/** Of each process at most one old one may linger on, so a restart waits until the last one's tunnels have ended. */
const DRAIN_SECONDS = 1;
/** Rows are to end, done or not; each restart of all processes takes some seconds. */
const ENOUGH_MS = 110_000;
const RESTARTS_ENOUGH_MS = 300_000;

/** One tenant with its sites, one worker, and traffic through it. */
async function underLoad(
  lab: Lab,
  { processes, drain, reopen }: { processes: number; drain: number; reopen: boolean },
) {
  useAllCores();
  const world = await sharedWorld({ tenants: 1, rules: 100 });
  const sites = lab.keep(await startSites());
  const listenOn = { host: '127.0.0.1', port: await freePort() };
  const { client } = await world.startApi(lab);
  const decisions = lab.path('decisions.log');
  const worker = await world.startWorker(lab, {
    ...{ processes, drain },
    env: { ARCUS_DECISION_LOG: decisions, ARCUS_LOG_LEVEL: 'info' },
  });
  // Rows share the world.
  const tenant_id = `load-${processes}`;
  const tenant = { tenant_id, tenant_name: tenant_id, config: numberedConfig(listenOn, sites, 0) };
  await client.call('POST', '/tenants?wait=acked', tenant);
  const traffic = await Traffic.start({ ...listenOn, ...LOAD, sites, reopen });
  lab.keep({ close: () => traffic.stop() });
  const write = (n: number) =>
    client.call('PUT', `/tenants/${tenant_id}/config?wait=acked`, numberedConfig(listenOn, sites, n), '*');
  return { client, worker, decisions, traffic, write };
}

/** Lines of the decision log that name things of two writes. A release of the tenant has always the same ones. */
async function mixedDecisions(file: string): Promise<{ lines: number; mixed: number }> {
  const writeOf = new Map<number, number>();
  let [lines, mixed] = [0, 0];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const { tenant, version, server, escaper, rule } = JSON.parse(line);
    if (!tenant.startsWith('load-')) continue;
    lines++;
    for (const name of [server, escaper, rule] as (string | undefined)[]) {
      if (!name) continue;
      const n = Number(/-(\d+)$/.exec(name)?.[1]);
      if (!writeOf.has(version)) writeOf.set(version, n);
      if (writeOf.get(version) !== n) mixed++;
    }
  }
  return { lines, mixed };
}

const count = (name: string, unit: string, found: readonly string[] | number): Result => {
  const value = typeof found === 'number' ? found : found.length;
  return { name, unit, arcus: value, peers: {}, ratio: {}, runs: { arcus: [value] }, target: { arcus: 0 } };
};

/** Some of the reasons, for whoever has to find out why. */
function tell(reasons: readonly string[]): void {
  for (const reason of new Set(reasons.slice(0, 100))) process.stdout.write(`${' '.repeat(28)}${reason}\n`);
}

async function results(
  name: string,
  traffic: Traffic,
  { decisions, done, tunnelsStay }: { decisions: string; done: string; tunnelsStay: boolean },
): Promise<Result[]> {
  const { requests, newConnections, pings, failed, refused, mixed, dropped } = traffic;
  for (const reasons of [failed, refused, mixed, tunnelsStay ? dropped : []]) tell(reasons);
  const log = await mixedDecisions(decisions);
  const open = LOAD.tunnels + LOAD.webSockets;
  return [
    count(`${name}-failed`, `failed of ${requests} requests, ${done}`, failed),
    count(`${name}-refused`, `refused or reset of ${newConnections} new connections`, refused),
    tunnelsStay
      ? count(`${name}-dropped`, `dropped of ${open} tunnels and WebSockets, ${pings} times used`, dropped)
      : {
          ...count(`${name}-ended`, `tunnels ended after ${DRAIN_SECONDS} s of draining and opened anew`, dropped),
          target: {},
        },
    count(`${name}-mixed`, `answers or records of ${log.lines} by two releases`, mixed.length + log.mixed),
  ];
}

export const releasesUnderLoadRow: Row = {
  ...{ name: 'releases-under-load', programs, page },
  description: `${RELEASES} releases under ${LOAD.requestsPerSecond + LOAD.newPerSecond} requests/s and 500 open tunnels`,
  async run(lab) {
    const { traffic, write, decisions } = await underLoad(lab, { processes: 1, drain: 5, reopen: false });
    const began = performance.now();
    let releases = 0;
    while (releases < RELEASES && performance.now() - began < ENOUGH_MS) await write(++releases);
    const seconds = (performance.now() - began) / 1000;
    const rate = Math.round(traffic.requests / seconds);
    await traffic.stop();
    const done = `${rate}/s, during ${releases} releases in ${seconds.toFixed(0)} s`;
    return results('releases-under-load', traffic, { decisions, done, tunnelsStay: true });
  },
};

export const rollingRestartRow: Row = {
  ...{ name: 'rolling-restart', programs, page },
  description: `${RESTARTS} restarts of ${PROCESSES} processes under the same load`,
  async run(lab) {
    const { worker, traffic, decisions } = await underLoad(lab, {
      processes: PROCESSES,
      drain: DRAIN_SECONDS,
      reopen: true,
    });
    const began = performance.now();
    let restarts = 0;
    while (restarts < RESTARTS && performance.now() - began < RESTARTS_ENOUGH_MS) {
      process.kill(worker.pid, 'SIGHUP');
      restarts++;
      await until(() => worker.said('all processes of the worker are replaced') >= restarts, {
        deadline: 60_000,
        what: `restart ${restarts} of all processes`,
      });
    }
    const seconds = (performance.now() - began) / 1000;
    const rate = Math.round(traffic.requests / seconds);
    await traffic.stop();
    const done = `${rate}/s, during ${restarts} restarts of ${PROCESSES} processes in ${seconds.toFixed(0)} s`;
    return results('rolling-restart', traffic, { decisions, done, tunnelsStay: false });
  },
};
