import assert from 'node:assert/strict';
import { it, mock } from 'node:test';
import { createSealer } from '@arcus/control/seal.ts';
import { type Config, emptyConfig, parseConfig } from '@arcus/gateway/config.ts';
import { HASHES, hashLimiter } from '@arcus/gateway/hash_limiter.ts';
import { testKey } from '../../testing.ts';
import { protect } from './secrets.ts';

const sealer = createSealer(testKey);

/** `count` users with passwords in clear. */
function withPasswords(count: number): Config {
  const static_users = Array.from({ length: count }, (_, i) => ({ name: `user${i}`, password: `secret ${i}` }));
  const { config, faults } = parseConfig({ user_groups: [{ name: 'staff', type: 'basic', static_users }] });
  assert.deepEqual(faults, []);
  return config!;
}

it('passwords of all tenants together take few threads, and many of one hold up no others', async (t) => {
  let [running, most, hashed] = [0, 0, 0];
  const run = hashLimiter.run.bind(hashLimiter);
  t.after(() => mock.restoreAll());
  mock.method(hashLimiter, 'run', (turn: Parameters<typeof run>[0], job: () => Promise<unknown>) =>
    run(turn, async () => {
      most = Math.max(most, ++running);
      try {
        return await job();
      } finally {
        running--;
        hashed++;
      }
    }),
  );
  // Several writes of one tenant, then one of each of the others.
  const bulk = Array.from({ length: 4 }, () => protect(sealer, 'bulk', emptyConfig(), withPasswords(25)));
  const others = await Promise.all(
    ['a', 'b', 'c', 'd'].map(async (tenant) => {
      const { config, faults } = await protect(sealer, tenant, emptyConfig(), withPasswords(1));
      assert.deepEqual(faults, []);
      assert.match(JSON.stringify(config), /"password_hash":"sealed:/);
      return hashed;
    }),
  );
  assert.ok(Math.max(...others) <= 20, `the last of them was done after ${Math.max(...others)} of 104 hashes`);
  await Promise.all(bulk);
  assert.equal(hashed, 104);
  assert.equal(most, HASHES);
});

it('a password that stays keeps its hash', async () => {
  const { config: first } = await protect(sealer, 'acme', emptyConfig(), withPasswords(3));
  const { config: second } = await protect(sealer, 'acme', first, withPasswords(4));
  const hashes = (config: Config) => config.user_groups.flatMap((g) => g.static_users.map((u) => u.password_hash));
  assert.deepEqual(hashes(second).slice(0, 3), hashes(first));
});
