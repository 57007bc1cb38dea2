import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChunkedScanner } from './chunked.ts';

/** Scans pieces; answers the content and how far the body goes. */
function scan(...pieces: string[]) {
  const scanner = new ChunkedScanner();
  let content = '';
  let end = 0;
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1');
    const stop = scanner.scan(bytes, 0, (from, to) => {
      content += bytes.toString('latin1', from, to);
    });
    if (stop < 0) return { fault: scanner.fault };
    end += stop;
    if (scanner.done) break;
  }
  assert.equal(scanner.content, content.length);
  return { content, end, done: scanner.done };
}

describe('a chunked body', () => {
  it('gives its content without the framing', () => {
    const body = '5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n';
    assert.deepEqual(scan(body), { content: 'hello world', end: body.length, done: true });
  });

  it('gives the same however it is cut', () => {
    const body = 'B;a="b"\r\nhello world\r\n0\r\nX: y\r\n\r\n';
    for (let at = 0; at <= body.length; at++) {
      assert.deepEqual(scan(body.slice(0, at), body.slice(at)), {
        content: 'hello world',
        end: body.length,
        done: true,
      });
    }
    assert.deepEqual(scan(...body), { content: 'hello world', end: body.length, done: true });
  });

  it('ends where it ends: the rest belongs to the next message', () => {
    assert.deepEqual(scan('0\r\n\r\nGET'), { content: '', end: 5, done: true });
  });

  it('starts where it is told to', () => {
    assert.equal(new ChunkedScanner().scan(Buffer.from('head0\r\n\r\n'), 4), 9);
  });

  it('is not done before its last byte', () => {
    for (const part of ['', '5', '5\r\nhel', '5\r\nhello\r\n', '0\r\n', '0\r\n\r'])
      assert.equal(scan(part).done, false, part);
  });

  it('tells what is wrong', () => {
    assert.match(scan('+5\r\n').fault!, /size/);
    assert.match(scan('ffffffffffffff\r\n').fault!, /too large/);
    assert.match(scan('1\r\nab\r\n').fault!, /longer than its size/);
    assert.match(scan(`1;${'a'.repeat(5000)}`).fault!, /extensions/);
    assert.match(scan(`0\r\n${'A: b\r\n'.repeat(5000)}`).fault!, /too long/);
    for (const name of ['Host', 'VIA', 'Forwarded', 'X-Forwarded-For', 'x-tenant-id', 'Proxy-Authentication-Info'])
      assert.match(scan(`0\r\n${name}: a\r\n`).fault!, /not allowed/, name);
  });

  it('may have extensions in each chunk, for some bytes more than it has content', () => {
    const chunk = (size: number) => `${size.toString(16)};sig=${'a'.repeat(60)}\r\n${'x'.repeat(size)}\r\n`;
    assert.equal(scan(`${chunk(1).repeat(200)}0\r\n\r\n`).content!.length, 200);
    assert.equal(scan(`${chunk(1000).repeat(1000)}0\r\n\r\n`).content!.length, 1_000_000);
    assert.match(scan(chunk(1).repeat(300)).fault!, /extensions/);
    assert.match(scan(`${chunk(9000)}1;${'a'.repeat(5000)}`).fault!, /extensions/, 'one chunk has its own limit');
  });

  it('has no trailer that Connection names', () => {
    const scanner = new ChunkedScanner(new Set(['x-secret']));
    assert.equal(scanner.scan(Buffer.from('0\r\nX-Secret: a\r\n\r\n'), 0), -1);
    assert.match(scanner.fault, /not allowed/);
  });
});
