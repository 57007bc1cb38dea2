import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSecrets, writeOnlyFields } from './secrets.ts';
import { run } from './slices.ts';

const group = {
  name: 'staff',
  type: 'basic' as const,
  static_users: [
    { name: 'alice', password_hash: 'h1' },
    { name: 'bob', token: { salt: 's', sha1: 'h2' } },
    { name: 'carol', password: 'clear' },
    { name: 'dave' },
  ],
};

describe('secrets of a config object', () => {
  it('are all visited, each at a place that does not move with its position', () => {
    const seen: [string, string][] = [];
    mapSecrets('user_groups', group, (value, place) => {
      seen.push([value, place]);
      return value;
    });
    assert.deepEqual(seen, [
      ['h1', 'user_groups/staff/static_users/alice/password_hash'],
      ['h2', 'user_groups/staff/static_users/bob/token/sha1'],
    ]);
    const proxy = { name: 'p', type: 'proxy_http', proxy_addr: 'x:1', proxy_username: 'u', proxy_password: 'w' };
    const sealed = mapSecrets('escapers', proxy, (value, place) => `<${value} ${place}>`);
    assert.equal(sealed.proxy_password, '<w escapers/p/proxy_password>');
    assert.equal(sealed.proxy_username, 'u');
  });

  it('are replaced in a copy that shares what did not change', () => {
    const copy = mapSecrets('user_groups', group, () => 'sealed');
    assert.equal(group.static_users[0]?.password_hash, 'h1');
    assert.equal(copy.static_users[0]?.password_hash, 'sealed');
    assert.equal(copy.static_users[3], group.static_users[3]);
    assert.equal(
      mapSecrets('user_groups', group, (v) => v),
      group,
    );
  });

  it('of a broken object harm nobody', () => {
    for (const broken of [{}, { type: 'basic' }, { type: 'basic', static_users: 7 }, { type: 'nope' }, { type: 5 }]) {
      assert.deepEqual(
        mapSecrets('user_groups', broken, () => 'x'),
        broken,
      );
    }
  });

  it('in clear are found', () => {
    assert.deepEqual(run(writeOnlyFields('user_groups', group)), ['/static_users/2/password']);
  });
});
