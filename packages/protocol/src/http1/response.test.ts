import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefused } from './request.ts';
import { parseResponseHead, type ResponseHead } from './response.ts';

function read(fields: string): ResponseHead {
  const text = `HTTP/1.1 200 OK\r\n${fields}\r\n`;
  const head = parseResponseHead(text, text.length, { line: 8192, fields: 100 });
  assert.ok(!isRefused(head), isRefused(head) ? head.reason : '');
  return head;
}

describe('an answer', () => {
  it('is not held to what requests must keep to', () => {
    const odd = 'Max-Forwards: abc\r\nMax-Forwards: 1\r\nHost: a\r\nHost: b\r\n';
    assert.equal(read(odd).kept, odd);
    assert.equal(read('A: b\r\nProxy-Authorization: x\r\nProxy-Authorization: y\r\n').kept, 'A: b\r\n');
  });

  it('that is interim and of no known kind announces no body', () => {
    const taken = (status: number, field: string) => {
      const text = `HTTP/1.1 ${status} x\r\n${field}\r\n\r\n`;
      return !isRefused(parseResponseHead(text, text.length, { line: 8192, fields: 100 }));
    };
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
      for (const status of [104, 110, 199]) assert.equal(taken(status, field), false, `${status} ${field}`);
      for (const status of [100, 102, 103, 204, 304]) assert.ok(taken(status, field), `${status} ${field}`);
    }
    assert.ok(taken(110, 'Content-Length: 0'));
    assert.ok(taken(199, 'A: b'));
  });

  it('says how long its sender keeps the connection open', () => {
    const cases: [string, number][] = [
      ['timeout=5', 5],
      ['timeout=5, max=1000', 5],
      ['max=1000 , Timeout=15', 15],
      ['max=1000,timeout=0', 0],
      ['', -1],
      ['max=5', -1],
      ['timeout', -1],
      ['timeout=', -1],
      ['timeout=x', -1],
      ['timeout=5s', -1],
      ['timeout=12345678', -1],
      ['my-timeout=5', -1],
    ];
    for (const [value, seconds] of cases) {
      assert.equal(read(`Keep-Alive: ${value}\r\n`).keepAliveTimeout, seconds, value);
      assert.equal(read(`Keep-Alive: ${value}\r\n`).kept, '', 'it is for this hop');
    }
    assert.equal(read('').keepAliveTimeout, -1);
  });
});
