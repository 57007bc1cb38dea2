/**
 * Our framing against that of Node's own parser: what we accept it accepts too, with the same body and the same end.
 * We may refuse more, never accept more. ARCUS_MESSAGES sets how many messages are compared, ARCUS_SEED where they
 * start ("random": anywhere): a test run says the same each time, who looks for more tells it to.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readByNode } from './lib/llhttp.ts';
import { requests, responses } from './lib/messages.ts';
import { readByUs } from './lib/ours.ts';

const total = Number(process.env.ARCUS_MESSAGES ?? 100_000);
const start = process.env.ARCUS_SEED ?? '1';
const seed = start === 'random' ? {} : { seed: Number(start) };

/** What llhttp reads must end exactly at `end`: not a byte earlier, not a byte later. */
function sameAsNode(kind: 'request' | 'response', bytes: Buffer, end: number, body: Buffer, bodiless = false): void {
  const whole = readByNode(kind, bytes.subarray(0, end), bodiless);
  assert.equal(whole.error, '', 'llhttp refuses it');
  assert.equal(whole.complete, 1, 'llhttp does not find its end there');
  assert.equal(readByNode(kind, bytes.subarray(0, end - 1), bodiless).complete, 0, 'llhttp ends it earlier');
  assert.deepEqual(whole.body, body, 'llhttp reads another body');
}

describe('our framing and that of llhttp', () => {
  it('are told apart when they differ', () => {
    const head = 'POST http://o.example/ HTTP/1.1\r\nHost: o.example\r\nContent-Length: 5\r\n\r\n';
    const bytes = Buffer.from(`${head}helloGET`, 'latin1');
    sameAsNode('request', bytes, head.length + 5, Buffer.from('hello'));
    assert.throws(() => sameAsNode('request', bytes, head.length + 4, Buffer.from('hell')));
    assert.throws(() => sameAsNode('request', bytes, head.length + 6, Buffer.from('helloG')));
    assert.throws(() => sameAsNode('request', bytes, head.length + 5, Buffer.from('hullo')));
    const folded = Buffer.from(head.replace('Host:', 'A: b\r\n c\r\nHost :'), 'latin1');
    assert.throws(() => sameAsNode('request', folded, folded.length, Buffer.alloc(0)));
  });

  it('agree on requests that we accept', () => {
    let accepted = 0;
    fc.assert(
      fc.property(requests, (text) => {
        const bytes = Buffer.from(text, 'latin1');
        const ours = readByUs('request', bytes);
        if (ours === null) return;
        accepted++;
        // Exceptions, neither about framing: llhttp knows a fixed list of methods, and ends CONNECT with its head.
        const known = Buffer.from(`POST${text.slice(ours.method.length)}`, 'latin1');
        if (ours.method === 'CONNECT') return;
        sameAsNode('request', known, ours.end + 4 - ours.method.length, ours.body);
      }),
      { numRuns: Math.ceil(total / 2), ...seed },
    );
    assert.ok(accepted > total / 20, `only ${accepted} messages were accepted: the comparison says little`);
  });

  it('agree on answers that we accept', () => {
    let accepted = 0;
    fc.assert(
      fc.property(responses, fc.boolean(), (text, head) => {
        const bytes = Buffer.from(text, 'latin1');
        const ours = readByUs('response', bytes, head ? 'HEAD' : 'GET');
        if (ours === null) return;
        accepted++;
        if (ours.end >= 0) {
          sameAsNode('response', bytes, ours.end, ours.body, head);
          return;
        }
        const theirs = readByNode('response', bytes, false, true);
        assert.equal(theirs.error, '', 'llhttp refuses it');
        assert.ok(theirs.atEnd, 'llhttp ends it before the connection ends');
        assert.deepEqual(theirs.body, ours.body, 'llhttp reads another body');
      }),
      { numRuns: Math.ceil(total / 2), ...seed },
    );
    assert.ok(accepted > total / 20, `only ${accepted} messages were accepted: the comparison says little`);
  });
});
