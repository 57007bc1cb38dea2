import assert from 'node:assert/strict';
import type { Answer, Case } from './case.ts';
import { readMessage } from './framing.ts';
import type { Outcome } from './world.ts';

/** Dates differ from run to run; nothing else may. */
export const undated = (text: string) => text.replace(/(^|\n)(Date: )[A-Z][a-z]{2}, [0-9A-Za-z :]{24}\r/g, '$1$2now\r');

/** What must be the same however the bytes were cut: the reason in an error page may name what was seen first. */
export const canonical = (o: Outcome): string =>
  [
    o.end,
    o.pooled,
    ...o.reached.map((r) => `\n> ${r}`),
    `\n< ${undated(o.client).replace(/(Content-Length: )\d+((?:\r\n[^\r\n]+)*?\r\nArcus-Error: [a-z_]+)((?:\r\n[^\r\n]+)*)\r\n\r\n[\s\S]*?(?=HTTP\/1\.1 |$)/g, '$1n$2$3\r\n\r\n(page)')}`,
  ].join(' ');

/** Fails when the outcome is not what the case says. */
export function check(c: Case, o: Outcome): void {
  const expected = c.reached === undefined ? [] : typeof c.reached === 'string' ? [c.reached] : c.reached;
  if (c.partly) {
    assert.ok(o.reached.length <= expected.length, 'connections to the origin');
    for (const [i, text] of o.reached.entries()) {
      assert.ok(expected[i]!.startsWith(text), `at the origin: ${JSON.stringify(text)}`);
      assert.notEqual(text, expected[i], 'the whole message reached the origin');
    }
  } else assert.deepEqual(o.reached.map(undated), expected, 'what reached the origin');
  checkAnswers(c, o);
  assert.equal(o.end, c.end ?? 'kept', 'the connection of the client');
  if (c.pooled !== undefined) assert.equal(o.pooled, c.pooled, 'idle connections to the origin');
  assert.equal(o.open, 0, 'sessions or connections that never ended');
  assert.equal(o.bytesOut, o.client.length, 'bytes_out of the decisions');
}

function checkAnswers(c: Case, o: Outcome): void {
  const text = o.client;
  const methods = [...(c.methods ?? [])];
  let method = methods.shift() ?? 'GET';
  let at = 0;
  for (const [i, wanted] of c.answers.entries()) {
    const want: Answer = typeof wanted === 'number' ? { status: wanted } : wanted;
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text.slice(at))?.[1] ?? 0);
    assert.equal(status, want.status, `answer ${i + 1}: ${JSON.stringify(text.slice(at, at + 300))}`);
    const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    const tunnel = status === 101 || (method === 'CONNECT' && status < 300);
    const message = readMessage(text, at, bodiless || tunnel, o.end !== 'kept');
    assert.ok(message?.whole, `answer ${i + 1} is not whole: ${JSON.stringify(text.slice(at))}`);
    for (const [name, value] of Object.entries(want.fields ?? {})) {
      assert.equal(message.fields[name], value ?? undefined, `field ${name} of answer ${i + 1}`);
    }
    if (want.code !== undefined) assert.equal(message.fields['arcus-error'], want.code);
    if (want.body !== undefined) assert.equal(message.body, want.body, `body of answer ${i + 1}`);
    at = message.end;
    if (status >= 200) method = methods.shift() ?? 'GET';
  }
  if (c.torn !== undefined) {
    assert.ok(text.startsWith(`HTTP/1.1 ${c.torn} `, at), `the torn answer: ${JSON.stringify(text.slice(at))}`);
    assert.equal(o.end, 'reset', 'a torn answer must end in a reset');
    const { fields, whole } = readMessage(text, at, false, false)!;
    const framed = fields['content-length'] !== undefined || fields['transfer-encoding'] !== undefined;
    assert.ok(!framed || !whole, 'the torn answer is whole');
  } else assert.equal(text.slice(at), c.tunnel ?? '', 'bytes behind the last answer');
}
