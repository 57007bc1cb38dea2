import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it, mock } from 'node:test';
import { hash as slowHash } from '@node-rs/argon2';
import { compile } from '../compile.ts';
import { GatewayError } from '../errors.ts';
import type { FaultError } from '../fault.ts';
import { hashLimiter } from '../hash_limiter.ts';
import type { User, UserGroup } from '../kind.ts';
import { hashPassword } from '../password.ts';
import { testGraph } from '../testing/graph.ts';
import { testServices } from '../testing/services.ts';

const test = testServices();
after(() => test.close());

const hash = await hashPassword('right');
const sha1 = (salt: string, password: string) => createHash('sha1').update(`${salt}${password}`).digest('hex');
const login = (text: string) => Buffer.from(text, 'utf8').toString('base64');

type UserInput = { name: string } & Record<string, unknown>;
function group(users: UserInput[], more: Parameters<typeof testGraph>[2] & { seconds?: number } = {}) {
  const { seconds = 60, ...options } = more;
  const config = { name: 'staff', type: 'basic' as const, static_users: users, auth_cache_seconds: seconds };
  const graph = testGraph({ user_groups: [config] }, test.services, options);
  return { graph, users: graph.user_groups.get('staff') as UserGroup };
}

describe('a user of a basic group', () => {
  it('is let in with the right password and no other', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    const alice = await users.authenticate(login('alice:right'));
    assert.deepEqual([alice?.name, alice?.group, alice?.blocked], ['alice', 'staff', false]);
    for (const text of ['alice:wrong', 'alice:', 'alice', 'Alice:right', 'bob:right', ':', '', 'alice:right ']) {
      assert.equal(await users.authenticate(login(text)), null, text);
    }
    assert.equal(await users.authenticate('not base64!'), null);
    assert.equal(await users.authenticate(Buffer.from('alice:\xff', 'latin1').toString('base64')), null);
    assert.equal(await users.authenticate('A'.repeat(10_000)), null);
  });

  it('may have a colon and letters of any script in the password', async () => {
    const { users } = group([{ name: 'zoë', password_hash: await hashPassword('pass:wörd:') }]);
    assert.equal((await users.authenticate(login('zoë:pass:wörd:')))?.name, 'zoë');
  });

  it('can have an imported salted hash', async () => {
    const { users } = group([{ name: 'bob', token: { salt: 'pepper', sha1: sha1('pepper', 'right') } }]);
    assert.equal((await users.authenticate(login('bob:right')))?.name, 'bob');
    assert.equal(await users.authenticate(login('bob:wrong')), null);
  });

  it('without any credential cannot log in', async () => {
    const { users } = group([{ name: 'dave' }, { name: 'alice', password_hash: hash }]);
    assert.equal(await users.authenticate(login('dave:')), null);
    assert.equal(await users.authenticate(login('dave:right')), null);
  });

  it('that is blocked is known, so that the answer can say so', async () => {
    const { users } = group([{ name: 'eve', password_hash: hash, blocked: true }]);
    assert.equal((await users.authenticate(login('eve:right')))?.blocked, true);
  });

  it('may go only where the filters say', async () => {
    const filter = { exact: ['ok.example', '198.51.100.7'], child: ['*.safe.example'] };
    const { users } = group([
      { name: 'alice', password_hash: hash, dst_port_filter: [80], dst_host_filter_set: filter },
    ]);
    const alice = (await users.authenticate(login('alice:right'))) as User;
    assert.deepEqual([alice.ports?.has(80), alice.ports?.has(443)], [true, false]);
    for (const host of ['ok.example', '198.51.100.7', 'safe.example', 'a.b.safe.example']) {
      assert.equal(alice.denies(host), null, host);
    }
    for (const host of ['example', 'x.ok.example', 'unsafe.example', '198.51.100.8']) {
      assert.match(alice.denies(host) ?? '', /alice/, host);
    }
  });

  it('whose hash cannot be unsealed is denied', async () => {
    const unseal = (value: string, place: string) => {
      assert.equal(place, 'test/user_groups/staff/static_users/alice/password_hash');
      if (value.endsWith('good')) return hash;
      throw new Error('wrong key');
    };
    const bad = group([{ name: 'alice', password_hash: 'sealed:v1:k1:bad' }], { unseal });
    assert.equal(await bad.users.authenticate(login('alice:right')), null);
    const good = group([{ name: 'alice', password_hash: 'sealed:v1:k1:good' }], { unseal });
    assert.equal((await good.users.authenticate(login('alice:right')))?.name, 'alice');
  });
});

describe('the users of many releases', () => {
  it('are those of the last one, with faults as if it were the first', async () => {
    const token = (password: string) => ({ salt: 's', sha1: sha1('s', password) });
    const one = group(Array.from({ length: 2000 }, (_, i) => ({ name: `u${i}`, token: token('one') })));
    const config = one.graph.config.user_groups[0]!;
    const next = (static_users: object[]) => {
      const user_groups = [{ ...config, static_users: static_users as typeof config.static_users }];
      return compile(one.graph.info, 2, { ...one.graph.config, user_groups }, deps, one.graph);
    };
    const deps = { services: test.services, unseal: (value: string) => value };
    const change = [
      { ...config.static_users[7]!, token: token('two') },
      { ...config.static_users[9]!, name: 'new' },
    ];
    const two = next(config.static_users.toSpliced(7, 3, ...change));
    const users = two.user_groups.get('staff') as UserGroup;
    for (const right of ['u6:one', 'u7:two', 'new:one', 'u10:one', 'u1999:one']) {
      assert.equal((await users.authenticate(login(right)))?.name, right.split(':')[0], right);
    }
    for (const wrong of ['u7:one', 'u8:one', 'u9:one'])
      assert.equal(await users.authenticate(login(wrong)), null, wrong);

    const bad = { ...config.static_users[3]!, token: { salt: 's', sha1: 'no' } };
    const clear = { name: 'clear', password: 'secret', blocked: false };
    const faults = (users: object[]) => {
      try {
        next(users);
        return [];
      } catch (error) {
        return (error as FaultError).faults.map((f) => `${f.pointer} ${f.code}`);
      }
    };
    assert.deepEqual(faults(config.static_users.toSpliced(3, 1, bad, config.static_users[1500]!, clear)), [
      '/user_groups/0/static_users/1502/name duplicate_name',
      '/user_groups/0/static_users/3/token/sha1 bad_hash',
      '/user_groups/0/static_users/5/password clear_secret',
    ]);
    one.graph.retire();
    two.retire();
  });
});

describe('a login', () => {
  it('is answered at once while it is remembered, and checked again later', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    const first = users.authenticate(login('alice:right'));
    assert.ok(first instanceof Promise);
    const alice = await first;
    assert.equal(users.authenticate(login('alice:right')), alice, 'no promise: the same user at once');
    test.time += 60_000;
    assert.ok(users.authenticate(login('alice:right')) instanceof Promise);
  });

  it('that is wrong is refused at once when it comes again, for a while', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    await users.authenticate(login('alice:wrong'));
    assert.equal(users.authenticate(login('alice:wrong')), null);
    test.time += 5_000;
    assert.ok(users.authenticate(login('alice:wrong')) instanceof Promise);
  });

  it('on many connections at once is checked once', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    const all = Array.from({ length: 20 }, () => users.authenticate(login('alice:right')));
    assert.equal(new Set(all).size, 1);
    assert.equal((await all[0])?.name, 'alice');
  });

  it('is not remembered where the config says so', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }], { seconds: 0 });
    await users.authenticate(login('alice:right'));
    assert.ok(users.authenticate(login('alice:right')) instanceof Promise);
  });

  it('survives a release that changes another user, and takes the new settings at once', async () => {
    const one = group([{ name: 'alice', password_hash: hash }]);
    await one.users.authenticate(login('alice:right'));
    const two = group([{ name: 'alice', password_hash: hash, blocked: true }, { name: 'new' }], {
      version: 2,
      previous: one.graph,
    });
    const alice = two.users.authenticate(login('alice:right')) as User;
    assert.equal(alice.blocked, true);
    one.graph.retire();
    two.graph.retire();
  });

  it('does not survive a release that changes or removes the password', async () => {
    const one = group([{ name: 'alice', password_hash: hash }]);
    await one.users.authenticate(login('alice:right'));
    const users = [{ name: 'alice', password_hash: await hashPassword('other') }];
    for (const now of [users, [], [{ name: 'alice' }]]) {
      const two = group(now, { version: 2, previous: one.graph });
      assert.equal(await two.users.authenticate(login('alice:right')), null);
    }
  });

  it('of an unknown user costs a slow hash as a wrong password does', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    const slow = mock.method(hashLimiter, 'run');
    for (const text of ['alice:wrong', 'nobody:wrong']) {
      slow.mock.resetCalls();
      await users.authenticate(login(text));
      assert.equal(slow.mock.callCount(), 1, text);
    }
    slow.mock.restore();
  });
});

describe('a flood of wrong passwords', () => {
  it('is refused beyond a bound, with an error that says to try again', async () => {
    const { users } = group([{ name: 'alice', password_hash: hash }]);
    const attempts = await Promise.allSettled(
      Array.from({ length: 80 }, async (_, i) => users.authenticate(login(`alice:guess${i}`))),
    );
    const refused = attempts.filter((a) => a.status === 'rejected');
    assert.ok(refused.length > 0);
    for (const r of refused) assert.ok(r.reason instanceof GatewayError && r.reason.code === 'unavailable');
    for (const a of attempts) if (a.status === 'fulfilled') assert.equal(a.value, null);
  });

  it('against groups of one tenant holds up no login of another one: the next hash is the one for it', async (t) => {
    const costly = await slowHash('right', { memoryCost: 65_536, timeCost: 2, parallelism: 1 });
    // Whose hashes began, in order: how long each takes is the machine's affair.
    const began: string[] = [];
    const run = hashLimiter.run.bind(hashLimiter);
    t.mock.method(hashLimiter, 'run', ((turn, job) =>
      run(turn, () => {
        began.push(turn.tenant);
        return job();
      })) satisfies typeof hashLimiter.run);
    const floods = Array.from({ length: 10 }, () =>
      group([{ name: 'mallory', password_hash: costly }], { tenant: 'flood' }),
    );
    const { users } = group([{ name: 'alice', password_hash: hash }], { tenant: 'victim' });
    const wrong = floods.flatMap((flood) =>
      Array.from({ length: 3 }, (_, n) => flood.users.authenticate(login(`mallory:guess${n}`))),
    );
    for (let i = 0; i < 3; i++) {
      const before = began.length;
      // A password that was not checked before, or the result would be known.
      await users.authenticate(login(i === 2 ? 'alice:right' : `alice:wrong${i}`));
      assert.equal(began[before], 'victim');
    }
    assert.ok(began.length < wrong.length, 'the flood was there all the time');
    await Promise.all(wrong);
  });
});
