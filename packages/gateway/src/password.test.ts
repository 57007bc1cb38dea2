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

  it('may have been imported as SHA-1 of salt and password', () => {
    const token = { salt: 'salt', sha1: '59B3E8D637CF97EDBE2384CF59CB7453DFE30789' };
    assert.ok(verifySha1(token, 'password'));
    assert.ok(!verifySha1(token, 'Password'));
    assert.ok(!verifySha1({ salt: 'salt', sha1: '' }, ''));
  });
});
