import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { httpProxy } from './http_proxy.ts';

const parse = (more: Record<string, unknown>) =>
  httpProxy.config.safeParse({
    name: 'web',
    type: 'http_proxy',
    listen: { address: '127.0.0.1:8080' },
    escaper: 'out',
    ...more,
  });

describe('http_proxy', () => {
  it('never passes on a switch to another version of HTTP', () => {
    for (const name of ['h2c', 'H2C', 'h2', 'HTTP', 'http/2.0', 'HTTP/1.1', 'h2c/1']) {
      const { success, error } = parse({ upgrades: ['websocket', name] });
      assert.equal(success, false, name);
      assert.deepEqual(error!.issues[0]!.path, ['upgrades', 1]);
    }
    for (const name of ['irc', 'IRC/6.9', 'http-ish', 'h2cx']) assert.ok(parse({ upgrades: [name] }).success, name);
    for (const name of ['', 'a b', 'a,b', 'a/', 'a\r\nb']) assert.ok(!parse({ upgrades: [name] }).success, name);
  });
});
