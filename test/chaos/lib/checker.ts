/**
 * What is true after a fault healed: what clients saw, what workers say that they run, what the database has and what
 * the store has, held against each other. Answers sentences that say what is wrong; none is what is wanted.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { ask, path } from '@arcus/cli/client.ts';
import { loadRelease } from '@arcus/control/publish.ts';
import { testKeys } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';
import type { Sample } from './clients.ts';
import type { Place } from './config.ts';
import { FairClock } from './fair-clock.ts';
import type { Lab, LabWorker } from './lab.ts';

export interface Verdict {
  /** From the end of the fault until all ran the newest release, ms. */
  convergedMs: number;
  accepted: number;
  unknown: number;
  decisions: number;
  faults: string[];
}

interface Row {
  version: number;
  n: number;
  state: string;
}

/**
 * The fault is over: no new writes; waits until everything is quiet, then looks at all of it. `healed` is when it was
 * over (performance.now()).
 */
export async function check(lab: Lab, healed = performance.now()): Promise<Verdict> {
  const faults: string[] = [];
  const stopped = lab.writer.stop();
  const convergedMs = await convergence(lab, healed, stopped, faults);
  // It goes on: one more write each, which every worker has to take.
  for (const place of lab.places) {
    if (await lab.writer.write(place, { wait: true })) continue;
    faults.push(`${place.tenant}: a write after all was over failed: ${lab.writer.unknown.at(-1)?.why}`);
  }
  for (const refused of lab.writer.refused.splice(0)) faults.push(`a write was refused: ${refused}`);
  const rows = new Map<string, Row[]>();
  for (const place of lab.places) {
    const all = await releasesOf(lab, place);
    rows.set(place.tenant, all);
    nothingLost(lab, place, all, faults);
    await sameEverywhere(lab, place, all, faults);
  }
  noOldRelease(lab, rows, faults);
  for (const worker of lab.workers) {
    decisionsAgree(worker, rows, faults);
    noErrors(worker, faults);
  }
  troubles(lab, faults);
  return {
    convergedMs: Math.round(convergedMs),
    accepted: lab.writer.accepted.length,
    unknown: lab.writer.unknown.length,
    decisions: lab.clients.samples.length,
    faults: [...new Set(faults)],
  };
}

/** Whatever the machine does: who has not converged by then does not, ms. */
const PATIENCE_MS = 180_000;

/** ms until every worker serves every tenant's newest release, and the management service knows. */
async function convergence(lab: Lab, healed: number, stopped: Promise<void>, faults: string[]): Promise<number> {
  const end = healed + Math.max(6 * lab.barMs, PATIENCE_MS);
  // What the machine keeps from all of them is not held against them.
  const clock = new FairClock(() => lab.pids);
  try {
    for (;;) {
      const why = await unfinished(lab, stopped).catch((error) => (error as Error).message);
      const passed = performance.now() - healed;
      const fair = passed - clock.kept;
      const took = `${Math.round(passed)} ms, of which the machine kept ${Math.round(clock.kept)}`;
      if (why === '') {
        if (fair > lab.barMs) faults.push(`converged only after ${took}`);
        return passed;
      }
      if (performance.now() > end) {
        faults.push(`not converged after ${took}: ${why}`);
        return passed;
      }
      await wait(20);
    }
  } finally {
    clock.stop();
  }
}

/** Why it is not over yet; '' when it is. */
async function unfinished(lab: Lab, stopped: Promise<void>): Promise<string> {
  const running = await Promise.race([stopped.then(() => false), wait(0, true)]);
  if (running) return 'a write has no answer yet';
  for (const place of lab.places) {
    const { body } = await ask(lab.connection, `${path('tenants', place.tenant)}/config/status`, { timeout: 3000 });
    if (body.state === 'pending') return `${place.tenant}: release ${body.version} is pending`;
    const { summary } = body;
    if (!summary.converged) return `${place.tenant} ${body.version}: ${JSON.stringify(summary)}`;
    if (summary.workers !== lab.workers.length) return `${summary.workers} workers are known`;
    const newest = (await releasesOf(lab, place, 1))[0]!;
    for (const worker of lab.workers) {
      const n = await lab.clients.ask(worker, place);
      if (n !== newest.n) return `${worker.id} answers by write ${n} of ${place.tenant}, the newest is ${newest.n}`;
    }
  }
  return '';
}

/** Oldest last. The message of each write and rollback is its number. */
async function releasesOf(lab: Lab, { tenant }: Place, most = Number.POSITIVE_INFINITY): Promise<Row[]> {
  const rows: Row[] = [];
  for (let cursor = ''; ; ) {
    const limit = Math.min(most, 100);
    const query = `?limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { body } = await ask(lab.connection, `${path('tenants', tenant)}/releases${query}`);
    for (const { version, message, state } of body.items) rows.push({ version, n: Number(message), state });
    cursor = body.next_cursor ?? '';
    if (!cursor || rows.length >= most) return rows;
  }
}

/** Each accepted write is a release, with the version that was answered, and the config now is the newest one's. */
function nothingLost(lab: Lab, { tenant }: Place, rows: readonly Row[], faults: string[]): void {
  const byVersion = new Map(rows.map((row) => [row.version, row]));
  for (const { version, n } of lab.writer.accepted.filter((one) => one.tenant === tenant)) {
    const row = byVersion.get(version);
    if (!row) faults.push(`${tenant}: write ${n} was accepted as release ${version}, which does not exist`);
    else if (row.n !== n) faults.push(`${tenant}: release ${version} was answered to write ${n} and is write ${row.n}`);
  }
  for (const [i, row] of rows.entries()) {
    if (row.version !== rows.length - i)
      faults.push(`${tenant}: releases are not numbered one by one at ${row.version}`);
    const wanted = i === 0 ? ['published'] : ['published', 'superseded'];
    if (!wanted.includes(row.state)) faults.push(`${tenant}: release ${row.version} is ${row.state}`);
  }
}

/** Rows, head, manifest, blobs: one content, one number, our signature. */
async function sameEverywhere(lab: Lab, { tenant }: Place, rows: readonly Row[], faults: string[]): Promise<void> {
  const newest = rows[0]!;
  const [row] = await lab.sql(`SELECT version, stable_version, seq FROM tenants WHERE tenant_id = '${tenant}'`);
  const [version, stable, seq] = (row ?? []).map(Number);
  if (version !== newest.version || stable !== newest.version) {
    faults.push(`${tenant}: the database has version ${version}, stable ${stable}, newest release ${newest.version}`);
  }
  const pending = await lab.sql(`SELECT seq FROM pending_heads WHERE tenant_id = '${tenant}'`);
  if (pending.length > 0) faults.push(`${tenant}: a head still waits`);
  // Our own connection may have been lost with the store, and be on its way back.
  const { there } = await until(async () => ({ there: await lab.store.getHead(tenant) }), { deadline: 60_000 });
  if (!there) {
    faults.push(`${tenant}: the store has no head`);
    return;
  }
  const { head } = there;
  const reason = await testKeys().verifier.check(head, tenant);
  if (reason !== null) faults.push(`${tenant}: the head in the store is not ours: ${reason}`);
  if (head.seq !== seq || head.stable.version !== newest.version) {
    faults.push(`${tenant}: the head is ${head.seq} of release ${head.stable.version}, the database says ${seq}`);
  }
  const { document } = await loadRelease(lab.store, tenant, head.stable);
  const api = await ask(lab.connection, `${path('tenants', tenant)}/releases/${newest.version}/document`);
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(document)), api.body)) {
    faults.push(`${tenant}: release ${newest.version} is another one in the store`);
  }
  const live = await ask(lab.connection, `${path('tenants', tenant)}/config`);
  const servers = JSON.stringify(live.body.servers.map((server: { name: string }) => server.name));
  if (servers !== `["web-${newest.n}"]`) faults.push(`${tenant}: the config has ${servers}, wanted write ${newest.n}`);
}

/** Who had an answer of one release gets none of an older one later, from the same worker, restarts included. */
function noOldRelease(lab: Lab, rows: ReadonlyMap<string, readonly Row[]>, faults: string[]): void {
  const groups = Map.groupBy(lab.clients.samples, ({ worker, tenant }) => `${worker} ${tenant}`);
  for (const [who, samples] of groups) {
    const versions = new Map<number, number[]>();
    for (const { n, version } of rows.get(samples[0]!.tenant)!.toReversed()) {
      versions.set(n, [...(versions.get(n) ?? []), version]);
    }
    for (const { sample, floor, version } of assigned(samples, versions)) {
      if (version !== undefined) continue;
      const all = versions.get(sample.n);
      if (!all) faults.push(`${who}: an answer by write ${sample.n}, which is no release`);
      else faults.push(`${who}: an answer by release ${all.join('/')} after one by release ${floor}`);
    }
  }
}

/** Each answer with the lowest version that it can be of: a rollback gives content two of them. */
function* assigned(samples: readonly Sample[], versions: ReadonlyMap<number, readonly number[]>) {
  const ended: { end: number; top: number }[] = [];
  for (const sample of samples) {
    // The last answer that had come before this question was asked.
    let [low, high] = [0, ended.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ended[middle]!.end < sample.start) low = middle + 1;
      else high = middle;
    }
    const floor = ended[low - 1]?.top ?? 0;
    const version = versions.get(sample.n)?.find((one) => one >= floor);
    yield { sample, floor, version };
    const before = ended.at(-1)?.top ?? 0;
    ended.push({ end: sample.end, top: Math.max(before, version ?? 0) });
  }
}

/** The worker's own record of each decision: server, escaper and rule of the release that it names. */
function decisionsAgree(worker: LabWorker, rows: ReadonlyMap<string, readonly Row[]>, faults: string[]): void {
  const last = new Map<string, number>();
  const byVersion = new Map(
    [...rows].map(([tenant, all]) => [tenant, new Map(all.map((row) => [row.version, row.n]))]),
  );
  for (const line of readFileSync(worker.decisions, 'utf8').split('\n')) {
    let decision: Record<string, any>;
    try {
      decision = JSON.parse(line);
    } catch {
      continue; // The last line of a process that was killed.
    }
    const { tenant, version, server, escaper, rule } = decision;
    const n = byVersion.get(tenant)?.get(version);
    const said = [server, escaper, rule].filter(Boolean).map((name: string) => Number(/-(\d+)$/.exec(name)?.[1]));
    if (n === undefined)
      faults.push(`${worker.id}: a decision by release ${version} of ${tenant}, which does not exist`);
    else if (said.some((one) => one !== n)) {
      faults.push(`${worker.id}: a decision by a mix: release ${version} (write ${n}), ${server} ${escaper} ${rule}`);
    }
    last.set(tenant, version);
  }
}

/** A healthy worker logs no error, whatever is wrong around it. */
function noErrors(worker: LabWorker, faults: string[]): void {
  for (const line of worker.process.output.split('\n')) {
    if (!/"level":(?:50|60)/.test(line) && !/(?:Uncaught|Unhandled)/i.test(line)) continue;
    faults.push(`${worker.id} logged ${line.slice(0, 300)}`);
  }
}

/** Questions without a good answer, but for those to a worker that was not to be there. */
function troubles(lab: Lab, faults: string[]): void {
  for (const { worker, tenant, start, end, why } of lab.clients.troubles.splice(0)) {
    const mix = /a mix/.test(why);
    const away = lab.outages.some((o) => o.worker === worker && start <= o.to && end >= o.from);
    if (!away || mix) faults.push(`${worker} ${tenant}: a client got no good answer: ${why}`);
  }
}
