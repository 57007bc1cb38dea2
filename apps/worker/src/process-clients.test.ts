import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@arcus/testkit/until.ts';
import { ClientShares, ClientSums, worthTelling } from './process-clients.ts';

const WEB = '127.0.0.1:8080';

/** Processes that talk to each other as they do over their channels. */
function group(t: TestContext, processes: number) {
  let tellings = 0;
  const sums = new ClientSums<number>((process, changes) => shares[process]?.hear(changes));
  const shares = Array.from({ length: processes }, (_, process) => {
    sums.add(process);
    return new ClientShares(processes, (changes) => {
      tellings++;
      sums.hear(process, changes);
    });
  });
  t.after(() => {
    for (const share of shares) share.close();
  });
  return { sums, shares, web: shares.map((share) => share.of(WEB)), tellings: () => tellings };
}

test('each process hears what a client has at all others', async (t) => {
  const { web, shares } = group(t, 3);
  web[0]!.changed('10.0.0.1', 2, 10);
  web[1]!.changed('10.0.0.1', 3, 10);
  web[1]!.changed('10.0.0.2', 1, 10);
  await until(() => web.map((share) => share.elsewhere('10.0.0.1')).join() === '3,2,5');
  await until(() => web.map((share) => share.elsewhere('10.0.0.2')).join() === '1,0,1');
  assert.equal(shares[2]!.of('127.0.0.1:9090').elsewhere('10.0.0.1'), 0);
  web[1]!.changed('10.0.0.1', 0, 10);
  await until(() => web.map((share) => share.elsewhere('10.0.0.1')).join() === '0,2,2');
});

test('what a process that died had open counts no more, and one that begins hears of all', async (t) => {
  const { web, sums, shares } = group(t, 2);
  web[0]!.changed('10.0.0.1', 4, 10);
  web[1]!.changed('10.0.0.1', 5, 10);
  await until(() => web[0]!.elsewhere('10.0.0.1') === 5 && web[1]!.elsewhere('10.0.0.1') === 4);
  sums.remove(1);
  assert.equal(web[0]!.elsewhere('10.0.0.1'), 0);
  const successor = new ClientShares(2, () => {});
  shares[1] = successor;
  sums.add(1);
  assert.equal(successor.of(WEB).elsewhere('10.0.0.1'), 4);
});

test('clients far from their limit are not told of, and many changes are one telling', async (t) => {
  const { web, tellings } = group(t, 2);
  assert.equal(worthTelling(10_000, 2), 500);
  assert.equal(worthTelling(10, 2), 1);
  // Of those who are not told of all processes together let in less than a tenth too many.
  for (const [limit, processes] of [
    [10_000, 2],
    [1000, 64],
    [7, 3],
    [100, 256],
  ] as const) {
    assert.ok((processes - 1) * (worthTelling(limit, processes) - 1) < limit / 10);
  }
  for (let open = 1; open <= 600; open++) web[0]!.changed('10.0.0.1', open, 10_000);
  for (let client = 0; client < 100; client++) web[0]!.changed(`10.0.1.${client}`, 400, 10_000);
  await until(() => web[1]!.elsewhere('10.0.0.1') === 600);
  assert.equal(web[1]!.elsewhere('10.0.1.1'), 0);
  assert.equal(tellings(), 1);
});

test('more clients than fit in one telling are told of in the next', async (t) => {
  const { web, tellings } = group(t, 2);
  const names = Array.from({ length: 4500 }, (_, i) => `2001:db8::${i}`);
  for (const name of names) web[0]!.changed(name, 1, 10);
  await until(() => names.every((name) => web[1]!.elsewhere(name) === 1));
  assert.equal(tellings(), 3);
});
