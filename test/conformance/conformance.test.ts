import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { requirements } from './cases/requirements.ts';
import { topics } from './cases/topics.ts';
import type { Case } from './lib/case.ts';
import { canonical, check } from './lib/check.ts';
import { type Cuts, type Outcome, World } from './lib/world.ts';

const worlds = new Map<string, Promise<World>>();
after(async () => {
  for (const world of worlds.values()) await (await world).close();
});

function worldFor(c: Case): Promise<World> {
  const key = JSON.stringify([c.server, c.users, c.inspect]);
  let world = worlds.get(key);
  if (world === undefined) {
    world = World.start(c);
    worlds.set(key, world);
  }
  return world;
}

const clientBytes = (c: Case) =>
  (typeof c.client === 'string' ? [c.client] : c.client).reduce(
    (n, s) => n + (typeof s === 'string' ? s.length : 0),
    0,
  );

/** Long heads and bodies are cut where something happens, and at some places between. */
function* places(length: number): Generator<number> {
  const step = length <= 1500 ? 1 : Math.ceil(length / 400);
  for (let at = 1; at < length; at += at < 200 || at > length - 200 ? 1 : step) yield at;
}

function* allCuts(c: Case, whole: Outcome): Generator<Cuts> {
  yield { slow: true };
  if (c.cuts === 'none') return;
  for (const at of places(clientBytes(c))) yield { client: at };
  yield { client: 'each' };
  for (const at of places(whole.said)) yield { origin: at };
  yield { origin: 'each' };
  yield { client: 'each', origin: 'each' };
}

for (const topic of topics) {
  describe(topic.name, () => {
    for (const c of topic.cases) {
      it(`${c.name} (${c.rfc})`, async () => {
        const world = await worldFor(c);
        const whole = await world.run(c);
        check(c, whole);
        const same = canonical(whole);
        for (const cuts of allCuts(c, whole)) {
          const outcome = await world.run(c, cuts);
          try {
            check(c, outcome);
            if (!c.partly) assert.equal(canonical(outcome), same);
          } catch (error) {
            throw new Error(`cut at ${JSON.stringify(cuts)}: ${(error as Error).message}`, { cause: error });
          }
        }
      });
    }
  });
}

it('holds at least 250 cases', () => {
  const names = topics.flatMap((t) => t.cases.map((c) => `${t.name}: ${c.name}`));
  assert.equal(new Set(names).size, names.length, 'two cases have the same name');
  assert.ok(names.length >= 250, `${names.length} cases`);
});

it('shows each requirement on intermediaries by a case, or says why it does not apply', () => {
  const names = new Set(topics.flatMap((t) => t.cases.map((c) => c.name)));
  for (const { section, must, by, why } of requirements) {
    assert.ok((by === undefined) !== (why === undefined), `${section}: ${must}`);
    for (const name of by ?? []) assert.ok(names.has(name), `${section}: there is no case "${name}"`);
  }
});
