import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosen, within } from './chosen.ts';
import type { HeadBody, Labels } from './release.ts';

const ref = (version: number) => ({ version, manifest: String(version).repeat(64) });
const head = (more: Partial<HeadBody> = {}): HeadBody => ({
  ...{ schema: 1, tenant: 'acme', seq: 1, stable: ref(1), ...more },
});
const worker = (id: string, labels = {}) => ({ id, labels });
const fleet = Array.from({ length: 2000 }, (_, i) => worker(`worker-${i}`));

test('who is in a rollout at 5 % stays in it while it grows, and the parts have their size', () => {
  let before = new Set<string>();
  for (const percent of [0, 1, 5, 25, 60, 100]) {
    const now = new Set(fleet.filter((w) => within({ percent }, w)).map((w) => w.id));
    for (const id of before) assert.ok(now.has(id));
    assert.ok(Math.abs(now.size / fleet.length - percent / 100) < 0.03, `${percent} % are ${now.size}`);
    before = now;
  }
  assert.equal(before.size, fleet.length);
});

test('the part of the fleet runs the new release, the others the stable one', () => {
  const rollout = { ...ref(2), id: 'r', subset: { labels: { canary: 'yes' } } };
  assert.deepEqual(chosen(head({ rollout }), worker('a', { canary: 'yes', site: 'x' })), ref(2));
  assert.deepEqual(chosen(head({ rollout }), worker('a', { canary: 'no' })), ref(1));
  const wider = { ...rollout, subset: { labels: { canary: 'yes' }, percent: 50 } };
  const inside = fleet.find((w) => within({ percent: 50 }, w))!;
  assert.deepEqual(chosen(head({ rollout: wider }), inside), ref(2));
  assert.deepEqual(chosen(head({ rollout: wider }), worker('a', { canary: 'yes' })), ref(2));
});

test('a tenant runs where it is placed, and nowhere once it is deleted', () => {
  const any: Labels[] = [{ site: 'fra', tier: 'gold' }, { site: 'ams' }];
  const placement = { any };
  assert.deepEqual(chosen(head({ placement }), worker('a', { site: 'fra', tier: 'gold', more: '1' })), ref(1));
  assert.deepEqual(chosen(head({ placement }), worker('a', { site: 'ams' })), ref(1));
  assert.equal(chosen(head({ placement }), worker('a', { site: 'fra' })), null);
  assert.equal(chosen(head({ deleted: true }), worker('a')), null);
});
