import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { until } from '@arcus/testkit/until.ts';
import { Problem } from '../http/problem.ts';
import { YamlReader } from '../http/yaml-reader.ts';
import { type TestApi, testApi } from '../testing.ts';

const yaml = { 'content-type': 'application/yaml' };
const json = { 'content-type': 'application/json' };

describe('a body', () => {
  let api: TestApi;
  before(async () => {
    api = await testApi();
    await api.call('POST', '/tenants', { body: { tenant_id: 'acme', tenant_name: 'Acme' } });
  });
  after(() => api.close());

  const put = (body: string, headers: Record<string, string>) =>
    api.call('PUT', '/tenants/acme/config?dry_run=true', { body, headers });

  it('that cannot be read is refused with line, column and pointer', async () => {
    const cases: [string, Record<string, string>, [string, string, number, number]][] = [
      ['servers:\n  - name: a\n    name: b\n', yaml, ['/servers/0/name', 'duplicate_key', 3, 5]],
      ['servers: []\nescapers: !secret x\n', yaml, ['', 'syntax', 2, 11]],
      [
        '{"servers": [],\n "escapers": [{"name": "a", "name": "b"}]}',
        json,
        ['/escapers/0/name', 'duplicate_key', 2, 29],
      ],
      ['{"servers": []\n', json, ['', 'syntax', 2, 1]],
      ['{"a":\n"\\ud800"}', json, ['/a', 'half_character', 2, 1]],
    ];
    for (const [body, headers, [pointer, code, line, column]] of cases) {
      const { status, body: problem } = await put(body, headers);
      assert.equal(status, 400, JSON.stringify(problem));
      const [{ message, ...fault }] = problem.errors;
      assert.deepEqual(fault, { pointer, code, line, column });
      assert.ok(problem.detail.includes(`line ${line}, column ${column}`) && problem.detail.includes(message));
    }
  });

  it('that is not UTF-8 is refused', async () => {
    const texts = { json: ['{"tenant_id":"b","tenant_name":"', '"}'], yaml: ['tenant_id: b\ntenant_name: "', '"\n'] };
    const types = { json, yaml };
    // Latin-1, an overlong "/", half a surrogate pair, a sequence that breaks off, what lies behind Unicode.
    for (const bytes of ['e4', 'c0af', 'eda080', 'e282', 'f4908080']) {
      for (const form of ['json', 'yaml'] as const) {
        const [before, behind] = texts[form];
        const response = await api.app.http.inject({
          method: 'POST',
          url: '/api/v1/tenants',
          headers: { ...types[form], authorization: `Bearer ${api.admin}` },
          payload: Buffer.concat([Buffer.from(before!), Buffer.from(bytes, 'hex'), Buffer.from(behind!)]),
        });
        assert.deepEqual(
          [response.statusCode, response.json().detail],
          [400, 'The body is not UTF-8'],
          `${form} ${bytes}`,
        );
      }
    }
  });

  it('in YAML is read as long as it is small, and JSON is the way for more', async () => {
    const { status, body } = await put(`# ${'x'.repeat(1024 * 1024)}`, yaml);
    assert.equal(status, 413);
    assert.match(body.detail, /JSON/);
  });

  it('with forty thousand keys, nested a million times or full of unknown keys costs nobody anything', async () => {
    const keys = Array.from({ length: 40_000 }, (_, i) => `k${i}: 1`).join('\n');
    assert.equal((await put(keys, yaml)).status, 400);
    const deep = `{"tenant_id":"b","tenant_name":"b","metadata":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`;
    assert.equal((await api.call('POST', '/tenants', { body: deep, headers: json })).status, 400);
    const unknown = JSON.stringify(Object.fromEntries(Array.from({ length: 900 }, (_, i) => [`k${i}`, 1])));
    const { status, body, text } = await api.call('POST', '/tenants', { body: unknown, headers: json });
    assert.equal(status, 422);
    assert.deepEqual([body.errors.length, body.errors_total], [100, 902]);
    assert.ok(text.length < 20_000);
    const many = JSON.stringify({
      user_groups: [{ name: 'g', type: 'basic', static_users: Array(600).fill(JSON.parse(unknown)) }],
    });
    const refused = await put(many, json);
    assert.equal(refused.status, 422);
    assert.ok(refused.body.errors.length === 100 && refused.body.errors_total >= 10_000);
  });

  it('that takes long is read while others are answered', async () => {
    const list = Array.from({ length: 4_000 }, (_, i) => `  - { name: e${i}, type: dummy_deny, enabled: true }`);
    const slow = put(`escapers:\n${list.join('\n')}\n`, yaml).then((answer) => {
      assert.equal(answer.status, 200, answer.text.slice(0, 500));
      return 'yaml';
    });
    const users = Array.from({ length: 60_000 }, (_, i) => ({ name: `user-${i}`, token: 'none of that kind' }));
    const large = put(JSON.stringify({ user_groups: [{ name: 'g', type: 'basic', static_users: users }] }), json).then(
      (answer) => {
        assert.equal(answer.status, 422);
        assert.ok(answer.body.errors_total >= 10_000);
        return 'json';
      },
    );
    // One that takes some turns of the event loop, and waits for no disk and no database, which may be slow themselves.
    const quick = async () => {
      for (let i = 0; i < 20; i++) await turn();
      return (await api.call('GET', '/tenants', { token: null })).status;
    };
    assert.equal(await Promise.race([slow, large, quick()]), 401);
    await Promise.all([slow, large]);
  });

  it('that breaks off is no failure of ours, and one that is too long is answered before it ends', async () => {
    const url = new URL(await api.app.http.listen({ host: '127.0.0.1', port: 0 }));
    const head = (length: number) =>
      `POST /api/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${api.admin}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
    const long = connect(Number(url.port), url.hostname);
    long.write(head(100 * 1024 * 1024));
    const [answer] = (await once(long, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 413 /);
    assert.match(answer.toString(), /connection: close/i);
    long.destroy();
    const chunked = connect(Number(url.port), url.hostname);
    chunked.on('error', () => {});
    chunked.write(head(1).replace('Content-Length: 1', 'Transfer-Encoding: chunked'));
    const part = `${(1024 * 1024).toString(16)}\r\n${'x'.repeat(1024 * 1024)}\r\n`;
    for (let i = 0; i < 65; i++) chunked.write(part);
    const [said] = (await once(chunked, 'data')) as [Buffer];
    assert.match(said.toString(), /^HTTP\/1\.1 413 /);
    chunked.destroy();
  });
});

describe('the reader of YAML', () => {
  it('gives up on what takes too long, and reads the next', async () => {
    const reader = new YamlReader(500);
    try {
      const long = Array.from({ length: 500_000 }, (_, i) => `- { a: ${i} }`).join('\n');
      await assert.rejects(reader.read(long), (error) => error instanceof Problem && error.code === 'too_large');
      // A thread may take its time to begin on a busy machine.
      assert.deepEqual(await until(() => reader.read('a: 1').catch(() => null)), { json: '{"a":1}' });
    } finally {
      await reader.close();
    }
  });

  it('lets only so many wait', async () => {
    const reader = new YamlReader();
    const asked = await Promise.allSettled(Array.from({ length: 40 }, () => reader.read('a: 1')));
    const refused = asked.filter((one) => one.status === 'rejected');
    assert.equal(refused.length, 23, 'one is read, sixteen wait');
    assert.deepEqual(await reader.read('b: 2'), { json: '{"b":2}' });
    await reader.close();
  });
});
