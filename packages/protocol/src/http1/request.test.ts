import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isRefused, parseRequestHead, type RequestHead } from './request.ts';

const limits = { line: 100, fields: 5 };
const parse = (text: string) => parseRequestHead(text, text.indexOf('\r\n\r\n') + 4, limits);
function read(text: string): RequestHead {
  const head = parse(text);
  assert.ok(!isRefused(head), JSON.stringify(head));
  return head;
}
const code = (text: string) => {
  const head = parse(text);
  return isRefused(head) ? head.code : '';
};

describe('a request head', () => {
  it('is taken apart, and what goes on stays byte for byte', () => {
    const head = read(
      'GET http://o.example:81/a?b HTTP/1.1\r\nhost: x\r\nA:  b \r\nConnection: close\r\nc:d\r\n\r\nrest',
    );
    assert.equal(head.method, 'GET');
    assert.equal(head.authority, 'o.example:81');
    assert.equal(head.path, '/a?b');
    assert.equal(head.host, 'x');
    assert.equal(head.kept, 'A:  b \r\nc:d\r\n');
    assert.equal(head.persistent, false);
    assert.equal(head.count, 4);
    assert.equal(head.hasBody, false);
  });

  it('keeps nothing when there is nothing to keep', () => {
    assert.equal(read('GET http://o/ HTTP/1.0\r\n\r\n').kept, '');
    assert.equal(read('GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\n').kept, '');
  });

  it('tells whether the connection stays', () => {
    const persistent = (version: string, field = '') =>
      read(`GET http://o/ HTTP/${version}\r\nHost: o\r\n${field}\r\n`).persistent;
    assert.equal(persistent('1.1'), true);
    assert.equal(persistent('1.1', 'Connection: CLOSE\r\n'), false);
    assert.equal(persistent('1.1', 'Connection: keep-alive, close\r\n'), false);
    assert.equal(persistent('1.0'), false);
    assert.equal(persistent('1.0', 'Connection: Keep-Alive\r\n'), true);
  });

  it('is refused with the code that fits', () => {
    const field = 'Host: o\r\n';
    assert.equal(code(`GET / HTTP/1.1\r\n${field}\r\n`), 'not_a_proxy_request');
    assert.equal(code(`GET https://o/ HTTP/1.1\r\n${field}\r\n`), 'not_implemented');
    assert.equal(code(`GET http://o/ HTTP/1.2\r\n${field}\r\n`), 'version_not_supported');
    assert.equal(code(`GET http://o/${'a'.repeat(100)} HTTP/1.1\r\n${field}\r\n`), 'uri_too_long');
    assert.equal(code(`GET http://o/ HTTP/1.1\r\n${field}${'a: b\r\n'.repeat(5)}\r\n`), 'headers_too_large');
    assert.equal(code(`GET http://o/ HTTP/1.1\r\n${field}a b\r\n\r\n`), 'bad_request');
  });

  it('counts a request line to its last byte', () => {
    const line = (bytes: number) => `GET http://o/${'a'.repeat(bytes - 'GET http://o/ HTTP/1.1'.length)} HTTP/1.1`;
    assert.equal(code(`${line(100)}\r\nHost: o\r\n\r\n`), '');
    assert.equal(code(`${line(101)}\r\nHost: o\r\n\r\n`), 'uri_too_long');
  });

  it('is read up to its end and no further', () => {
    const text = 'GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\nGET http://p/ HTTP/1.1\r\nHost: p\r\n\r\n';
    assert.equal(read(text).host, 'o');
  });
});
