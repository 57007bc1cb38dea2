/** What a connection remembers of its last message must never show in what is read or written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnswerHeads } from '@arcus/gateway/http/answer-heads.ts';
import type { HttpServerContext } from '@arcus/gateway/http/connection.ts';
import { requestRest, requestStart, responseText } from '@arcus/gateway/http/heads.ts';
import { RequestMemory } from '@arcus/gateway/http/request-memory.ts';
import type { Egress } from '@arcus/gateway/kind.ts';
import { isRefused, parseRequestHead, type RequestHead } from '@arcus/protocol/http1/request.ts';
import { parseResponseHead, type ResponseHead } from '@arcus/protocol/http1/response.ts';
import fc from 'fast-check';
import { requests, responses } from './lib/messages.ts';

const context = (over: object = {}) =>
  ({
    limits: { request_line_bytes: 8192, header_fields: 128, header_bytes: 65_536 },
    forwardedFor: 'append',
    via: 'Via: 1.1 arcus\r\n',
    ...over,
  }) as unknown as HttpServerContext;
const contexts = [
  context(),
  context({ limits: { request_line_bytes: 8192, header_fields: 3, header_bytes: 65_536 } }),
  context({ forwardedFor: 'remove', via: 'Via: 1.1 other\r\n' }),
];
const egresses = [
  { form: 'origin', headers: '' },
  { form: 'absolute', headers: '' },
  { form: 'absolute', headers: 'Proxy-Authorization: Basic eA==\r\n' },
] as Egress[];

/** Some messages, again and again, so that one often follows itself. */
const series = <T>(message: fc.Arbitrary<T>) =>
  fc.array(message, { minLength: 1, maxLength: 3 }).chain((list) =>
    fc.array(
      fc.record({
        message: fc.constantFrom(...list),
        at: fc.nat(2),
        egress: fc.nat(2),
        upgrade: fc.constantFrom('', 'websocket'),
        again: fc.boolean(),
      }),
      { minLength: 2, maxLength: 8 },
    ),
  );
const headEnd = (text: string) => text.indexOf('\r\n\r\n') + 4;
/** One that differs from its neighbours in the path alone. */
const withPaths = fc
  .tuple(requests, fc.constantFrom('', 'x', 'longer'))
  .map(([text, path]) => text.replace('.example/', `.example/${path}`));

describe('a request that is like the last one of its connection', () => {
  it('is read and written as if it were the first', () => {
    let remembered = 0;
    fc.assert(
      fc.property(series(withPaths), (list) => {
        const memory = new RequestMemory();
        for (const { message, at, egress: which, upgrade } of list) {
          const end = headEnd(message);
          if (end < 4) continue;
          const server = contexts[at]!;
          const egress = egresses[which]!;
          const limits = { line: server.limits.request_line_bytes, fields: server.limits.header_fields };
          const fresh = parseRequestHead(message, end, limits);
          const known = memory.again(message, server);
          if (known) {
            remembered++;
            assert.equal(known.text, message.slice(0, end));
          }
          const head = known?.head ?? memory.read(message, end, server);
          assert.deepEqual(head, fresh);
          if (isRefused(head) || isRefused(fresh)) continue;
          const text = memory.textOf(head, 'o.example', egress, server, '192.0.2.1', upgrade);
          assert.equal(
            text,
            requestStart(fresh, 'o.example', egress) +
              requestRest(fresh, 'o.example', egress, server, '192.0.2.1', upgrade),
          );
          assert.deepEqual(memory.authorityOf(head), new RequestMemory().authorityOf(fresh));
          assert.equal(memory.credentialsOf(head), new RequestMemory().credentialsOf(fresh));
        }
      }),
      { numRuns: 5000 },
    );
    assert.ok(remembered > 300, `${remembered} were remembered`);
  });

  it('is not remembered when it is long: an idle connection holds little', () => {
    const server = contexts[0]!;
    const memory = new RequestMemory();
    const text = `GET http://o.example/ HTTP/1.1\r\nHost: o.example\r\nCookie: ${'x'.repeat(4000)}\r\n\r\n`;
    memory.read(text, text.length, server);
    assert.equal(memory.again(text, server), null);
    const short = text.replace(/x{4000}/, 'x');
    // Not even a short one that came with a long one behind it.
    memory.read(short + text, short.length, server);
    assert.equal(memory.again(short, server), null);
    memory.read(short, short.length, server);
    assert.equal(memory.again(short + text, server)?.text, short);
  });

  it('is read once', () => {
    const server = contexts[0]!;
    const memory = new RequestMemory();
    const text = 'GET http://o.example/a HTTP/1.1\r\nHost: o.example\r\nAccept: */*\r\n\r\n';
    const head = memory.read(text, text.length, server);
    assert.equal(memory.again(`${text}x`, server)?.head, head);
    assert.equal(memory.again(text.slice(0, -1), server), null);
    assert.equal(memory.again(text, contexts[2]!), null);
    const other = text.replace('/a', '/b');
    assert.equal(memory.again(other, server), null);
    const next = memory.read(other, other.length, server) as RequestHead;
    assert.equal(next.path, '/b');
    assert.equal(next.fields, (head as RequestHead).fields);
  });
});

describe('an answer that is like the last one of its connection', () => {
  it('is read and written as if it were the first', () => {
    let read = 0;
    fc.assert(
      fc.property(series(responses), (list) => {
        const heads = new AnswerHeads();
        for (const { message, at, upgrade, again } of list) {
          const end = headEnd(message);
          if (end < 4) continue;
          const { limits, via } = contexts[at]!;
          const seen: [ResponseHead, string, string][] = [];
          let bad = '';
          const chunk = Buffer.from(message, 'latin1');
          heads.read(chunk, limits, {
            onHead(head, text, to, bytes, from) {
              seen.push([head, text.slice(0, to), bytes.toString('latin1', from)]);
              return false;
            },
            onBadHead(reason) {
              bad = reason;
            },
          });
          const fresh = parseResponseHead(message, end, { line: limits.header_bytes, fields: limits.header_fields });
          if (isRefused(fresh)) {
            assert.equal(bad, fresh.reason);
            continue;
          }
          read++;
          assert.deepEqual(seen, [[fresh, message.slice(0, end), message.slice(end)]]);
          // The time of day, where the site does not say it.
          const said = (text: string) => (fresh.hasDate ? text : text.replace(/Date: .*? GMT\r\n/, 'Date\r\n'));
          assert.equal(
            said(heads.textOf(seen[0]![0], upgrade === '', again, via)),
            said(responseText(fresh, upgrade === '', again, via)),
          );
        }
      }),
      { numRuns: 5000 },
    );
    assert.ok(read > 5000, `${read} were read`);
  });
});
