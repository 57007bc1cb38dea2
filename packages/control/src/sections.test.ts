import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonical, canonicalHash, sha256 } from './canonical.ts';
import { type Cut, cut, type Document, DocumentTooLarge, join, MAX_BLOB } from './sections.ts';
import { StoreCorrupt } from './store.ts';

const getFrom = (result: Cut) => async () => result.blobs;

async function roundTrip(document: Document): Promise<Cut> {
  const result = await cut(document);
  assert.equal(canonical(await join(result, getFrom(result))), canonical(document));
  assert.equal(result.checksum, canonicalHash(result.sections));
  for (const [name, body] of result.blobs) {
    assert.equal(sha256(body), name);
    assert.ok(body.length <= MAX_BLOB);
  }
  return result;
}

/**
 * Keys without escapes. JSON.parse of V8 13.6 (Node 24) takes the key `+"` for `+\\` when it met an object with that one
 * before; no key of a config has either.
 */
const plainKeys = <T>(value: T): T => {
  if (Array.isArray(value)) return value.map(plainKeys) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [
    key.replace(/["\\\p{Cc}\p{Cs}]/gu, '_'),
    plainKeys(inner),
  ]);
  return Object.fromEntries(entries) as T;
};

const user = (index: number) => ({
  username: `user-${index}`,
  password_hash: `sealed:v1:00000000:${sha256(String(index))}${sha256(`x${index}`)}`,
  enabled: index % 3 !== 0,
});
const withUsers = (users: unknown[]): Document => ({
  tenant: { tenant_id: 'acme' },
  config: { servers: [{ name: 'a' }], user_groups: [{ name: 'g', static_users: users }, { name: 'h' }] },
});
const fresh = (before: Cut, after: Cut) => [...after.blobs.keys()].filter((name) => !before.blobs.has(name)).length;

test('canonical JSON is one spelling, and JSON', () => {
  assert.equal(
    canonical({ b: [1, null, undefined], a: { d: 'é\n', c: -0 }, u: undefined }),
    '{"a":{"c":0,"d":"é\\n"},"b":[1,null,null]}',
  );
  fc.assert(
    fc.property(fc.jsonValue().map(plainKeys), (value) => {
      assert.equal(canonical(JSON.parse(canonical(value))), canonical(value));
    }),
  );
  assert.throws(() => canonical({ a: Number.NaN }), TypeError);
  assert.throws(() => canonical([1n]), TypeError);
});

test('any document comes back as it was', async () => {
  // Long lists are a few generated items over and over: generating each would take minutes.
  const items = fc.array(fc.jsonValue({ maxDepth: 2 }), { minLength: 1, maxLength: 8 });
  const long = fc
    .tuple(items, fc.integer({ min: 250, max: 1500 }))
    .map(([some, length]) => Array.from({ length }, (_, i) => [i, some[i % some.length]]));
  const object = fc.dictionary(fc.string({ maxLength: 12 }), fc.oneof({ weight: 5, arbitrary: fc.jsonValue() }, long), {
    maxKeys: 6,
  });
  const few = fc.array(object, { maxLength: 6 });
  const family = fc.oneof(
    few,
    few.map((some) => Array.from({ length: 300 }, (_, i) => some[i] ?? { i })),
  );
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), family, family, async (tenant, servers, policies) => {
      await roundTrip(plainKeys({ tenant, config: { servers, policies, auditors: [] } }));
    }),
    { numRuns: 30 },
  );
});

test('long lists inside long lists, and large pieces that are no list', async () => {
  const nested = Array.from({ length: 600 }, (_, i) => ({
    name: `g${i}`,
    list: i % 200 === 0 ? Array.from({ length: 400 }, (_, j) => [j]) : [],
  }));
  const result = await roundTrip({
    tenant: { 'a/b~c': Array.from({ length: 300 }, (_, i) => i) },
    config: {
      user_groups: nested,
      policies: { big: 'x'.repeat(100_000), few: ['y'.repeat(40_000), 'z'.repeat(40_000)] },
    },
  });
  const paths = result.sections.map((section) => section.path);
  assert.ok(paths.includes('/tenant/a~1b~0c') && paths.includes('/user_groups') === false);
  assert.ok(paths.includes('/config/user_groups/400/list') && paths.includes('/config/policies/few'));
});

test('a long list has its place below any key', async () => {
  const long = Array.from({ length: 600 }, (_, i) => [i]);
  const keys = ['__proto__', 'constructor', 'toString', 'length', '', '0', 'a/b~c'];
  const object = Object.fromEntries(keys.map((key) => [key, Object.fromEntries([[key, long]])]));
  const { sections } = await roundTrip({ tenant: object, config: { servers: [object] } });
  for (const path of ['/tenant/__proto__/__proto__', '/config/servers/0/__proto__/__proto__']) {
    assert.ok(
      sections.some((section) => section.path === path && section.list),
      path,
    );
  }
});

test('one user more among 20,000 changes at most three parts', async () => {
  const users = Array.from({ length: 20_000 }, (_, index) => user(index));
  const before = await cut(withUsers(users));
  await fc.assert(
    fc.asyncProperty(fc.nat(20_000), fc.nat(), async (at, extra) => {
      const after = await cut(withUsers(users.toSpliced(at, 0, user(100_000 + extra))));
      assert.ok(fresh(before, after) <= 3, `${fresh(before, after)} parts`);
    }),
    { numRuns: 15 },
  );
  const shards = before.sections.find((section) => section.path.endsWith('static_users'))!.blobs.length;
  assert.ok(shards > 20 && shards < 200, `${shards} shards`);
});

test('a cut that remembers the one before gives the same parts', async () => {
  const users = Array.from({ length: 3000 }, (_, index) => user(index));
  // A few large ones, so that the hard limit of a shard has its say.
  for (let i = 100; i < 3000; i += 400) users[i] = { ...users[i]!, username: String(i).repeat(12_000) };
  const edit = fc.record({ at: fc.nat(3000), remove: fc.nat(700), add: fc.array(fc.nat(5), { maxLength: 3 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 5 }), async (edits) => {
      let list: object[] = users;
      let { memory } = await cut(withUsers(list));
      for (const { at, remove, add } of edits) {
        const extra = add.map((kind, i) =>
          kind === 0 ? { nested: Array.from({ length: 300 }, () => i) } : user(9000 + i),
        );
        list = list.toSpliced(at, add.length === 0 ? Math.max(1, remove) : remove, ...extra);
        const [grown, alone] = [await cut(withUsers(list), memory), await cut(withUsers(list))];
        assert.deepEqual(grown.sections, alone.sections);
        assert.deepEqual([...grown.blobs.keys()].sort(), [...alone.blobs.keys()].sort());
        memory = grown.memory;
      }
    }),
    { numRuns: 25 },
  );
});

test('of a long list that has one item more only a shard is looked at', async () => {
  let reads = 0;
  const get = (on: object, key: string | symbol): unknown => {
    reads++;
    return Reflect.get(on, key);
  };
  const users = Array.from({ length: 20_000 }, (_, index) => new Proxy(user(index), { get }));
  const { memory } = await cut(withUsers(users));
  const all = reads;
  reads = 0;
  await cut(withUsers(users.toSpliced(9999, 0, user(-1))), memory);
  assert.ok(reads > 0 && reads < all / 5, `${reads} of ${all}`);
});

test('large and equal items keep parts small', async () => {
  for (const item of ['x'.repeat(30), randomBytes(40_000).toString('hex')]) {
    const document = withUsers(
      Array.from({ length: 2000 * (item.length > 99 ? 0.02 : 10) }, (_, i) => ({ item, i: item.length > 99 ? i : 0 })),
    );
    const result = await roundTrip(document);
    assert.ok(result.sections.length > 2);
  }
});

test('a piece that no store would take is named', async () => {
  const document = withUsers([{ note: randomBytes(600_000).toString('base64') }]);
  await assert.rejects(cut(document), (error) => error instanceof DocumentTooLarge && /static_users/.test(error.path));
});

test('what did not change is neither fetched nor parsed again', async () => {
  const users = Array.from({ length: 5000 }, (_, index) => user(index));
  const cache = new Map<string, unknown>();
  const first = await cut(withUsers(users));
  const one = await join(first, getFrom(first), cache);
  const document = withUsers(users);
  const second = await cut({ ...document, config: { ...document.config, servers: [{ name: 'b' }] } });
  const asked: string[] = [];
  const two = await join(
    second,
    async (names) => {
      asked.push(...names);
      return second.blobs;
    },
    cache,
  );
  assert.equal(asked.length, 1);
  assert.equal(one.config.user_groups, two.config.user_groups);
  assert.deepEqual(two.config.servers, [{ name: 'b' }]);
  assert.deepEqual((one.config.user_groups as { static_users: unknown[] }[])[0]?.static_users.length, 5000);
});

test('altered, missing, misplaced and exploding parts are refused', async () => {
  const result = await cut(withUsers(Array.from({ length: 1000 }, (_, index) => user(index))));
  const corrupt = async (sections: Cut['sections'], blobs: Cut['blobs'] = result.blobs) =>
    assert.rejects(
      join({ sections }, async () => blobs),
      StoreCorrupt,
    );
  for (const [name, body] of result.blobs) {
    const altered = new Map(result.blobs).set(name, Buffer.from(body).fill(32, 0, 1));
    await corrupt(result.sections, altered);
    const less = new Map(result.blobs);
    less.delete(name);
    await corrupt(result.sections, less);
  }
  const [list] = result.sections.filter((section) => section.list);
  await corrupt([...result.sections, { ...list!, path: '/config/nonsense/0/x' }]);
  await corrupt([...result.sections, { ...list!, path: '/extra' }]);
  await corrupt([...result.sections, { ...result.sections[0]! }]);
  await corrupt(result.sections.filter((section) => section.path !== '/tenant'));
  await corrupt(
    result.sections.map((section) => (section.list ? { ...section, path: '/config/user_groups/1/name' } : section)),
  );
  await corrupt(
    result.sections.map((section) =>
      section.list ? { ...section, path: '/config/user_groups/__proto__/x' } : section,
    ),
  );
  const { gzipSync } = await import('node:zlib');
  const bomb = gzipSync(`"${'a'.repeat(20_000_000)}"`);
  await corrupt([{ path: '/tenant', blobs: [sha256(bomb)], list: false }], new Map([[sha256(bomb), bomb]]));
});
