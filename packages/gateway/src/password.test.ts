import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashFault, hashPassword, verifyPassword, verifySha1 } from './password.ts';

describe('passwords', () => {
  it('are stored as salted argon2id with the parameters that we promise', async () => {
    const [one, two] = await Promise.all([hashPassword('secret'), hashPassword('secret')]);
    assert.match(one!, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.notEqual(one, two);
    assert.equal(hashFault(one!), null);
    assert.ok(await verifyPassword(one!, 'secret'));
    assert.ok(!(await verifyPassword(one!, 'Secret')));
  });

  it('are not checked against a hash that is broken, of another kind or too costly', async () => {
    const costly =
      '$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    for (const phc of ['', 'x', '$2b$10$abc', costly, costly.replace('argon2id', 'argon2i')]) {
      assert.notEqual(hashFault(phc), null);
      assert.equal(await verifyPassword(phc, 'secret'), false);
    }
  });

  it('may be imported as hashes of the usual libraries, and as none that would hold up the logins of others', async () => {
    const phc = (m: number, t: number, p: number) =>
      `$argon2id$v=19$m=${m},t=${t},p=${p}$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`;
    const usual = [
      // OWASP
      ...([
        [47_104, 1, 1],
        [19_456, 2, 1],
        [12_288, 3, 1],
        [9216, 4, 1],
        [7168, 5, 1],
      ] as const),
      // argon2-cffi and node-argon2, PHP, Django, libsodium, Go, Spring
      ...([
        [65_536, 3, 4],
        [65_536, 4, 1],
        [102_400, 2, 8],
        [65_536, 2, 1],
        [65_536, 1, 4],
        [16_384, 2, 1],
      ] as const),
    ];
    for (const [m, t, p] of usual) assert.equal(hashFault(phc(m, t, p)), null, `m=${m},t=${t},p=${p}`);
    for (const [m, t, p] of [
      [262_144, 16, 8],
      [262_144, 1, 1],
      [131_072, 3, 1],
      [65_536, 5, 1],
      [19_456, 16, 1],
      [64, 2, 9],
    ] as const) {
      const bound = 'is too costly to check at each login: m at most 131072, m × t at most 262144, p at most 8';
      assert.equal(hashFault(phc(m, t, p)), bound);
      assert.equal(await verifyPassword(phc(m, t, p), 'secret'), false);
    }
  });

  it('may have been imported as SHA-1 of salt and password', () => {
    const token = { salt: 'salt', sha1: '59B3E8D637CF97EDBE2384CF59CB7453DFE30789' };
    assert.ok(verifySha1(token, 'password'));
    assert.ok(!verifySha1(token, 'Password'));
    assert.ok(!verifySha1({ salt: 'salt', sha1: '' }, ''));
  });
});
