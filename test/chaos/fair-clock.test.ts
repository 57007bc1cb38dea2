import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type TestContext, test } from 'node:test';
import { Child } from '@arcus/testkit/child.ts';
import { until } from '@arcus/testkit/until.ts';
import { FairClock } from './lib/fair-clock.ts';

async function shell(t: TestContext, script: string): Promise<Child> {
  const child = await Child.start({ command: 'sh', args: ['-c', script], ready: () => true });
  t.after(() => child.close());
  return child;
}

function clockOf(t: TestContext, children: readonly Child[]): FairClock {
  const clock = new FairClock(() => children.map((child) => child.pid));
  t.after(() => clock.stop());
  return clock;
}

const passes = (clock: FairClock, ms: number) => {
  const before = clock.kept;
  return until(() => clock.ms >= 0 && clock.kept >= before + ms, { deadline: 60_000, what: 'time passes uncounted' });
};

test('who waits for nothing that the machine owes has all of that time counted', async (t) => {
  const clock = clockOf(t, [await shell(t, 'exec sleep 600')]);
  await until(() => clock.ms >= 300, { deadline: 60_000, what: 'time is counted' });
});

test('while one of them is frozen nothing is counted, and afterwards it goes on', async (t) => {
  const child = await shell(t, 'exec sleep 600');
  const clock = clockOf(t, [child]);
  await child.stop();
  const before = clock.ms;
  await passes(clock, 200);
  assert.equal(clock.ms, before);
  child.cont();
  await until(() => clock.ms > before, { deadline: 60_000, what: 'time is counted again' });
});

test('time in which one waited for a core is not counted, be it beside another one, nor that in which nobody looked', (t) => {
  let now = 0;
  const waits = new Map([
    ['7', 0],
    ['8', 0],
  ]);
  const look = () => ({ waited: new Map(waits), held: false });
  const clock = new FairClock(() => [7, 8], { now: () => now, look });
  t.after(() => clock.stop());
  const counted = (ms: number, ...waited: number[]) => {
    const before = clock.ms;
    now += ms;
    for (const [i, thread] of [...waits.keys()].entries()) waits.set(thread, waits.get(thread)! + waited[i]! * 1e6);
    return clock.ms - before;
  };
  assert.equal(counted(80, 0, 0), 80);
  assert.equal(counted(80, 50, 60), 20);
  assert.equal(counted(80, 90, 0), 0);
  assert.equal(counted(3000, 0, 0), 100, 'this process stood still');
  assert.equal(clock.kept, now - clock.ms);
});

test('how long one waited for a core is read from the kernel', async (t) => {
  if (!existsSync('/proc/self/schedstat')) return t.skip('this kernel does not say it');
  // Each of them has a quarter of a core at most.
  const many = 4 * availableParallelism();
  const spinning = await Promise.all(Array.from({ length: many }, () => shell(t, 'while :; do :; done')));
  await passes(clockOf(t, spinning), 200);
});
