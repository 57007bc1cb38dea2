import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendDue, sendLater } from './outbox.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('what is put off is sent once, in order, when the turn is over', async () => {
  const sent: string[] = [];
  for (const name of ['a', 'b', 'c']) sendLater({ flush: () => sent.push(name) });
  await Promise.resolve();
  assert.deepEqual(sent, []);
  await turn();
  assert.deepEqual(sent, ['a', 'b', 'c']);
  await turn();
  assert.deepEqual(sent, ['a', 'b', 'c']);
});

test('who holds the event loop sends first; what is put off meanwhile is not forgotten', async () => {
  const sent: string[] = [];
  sendLater({
    flush: () => {
      sent.push('first');
      sendLater({ flush: () => sent.push('second') });
    },
  });
  sendDue();
  assert.deepEqual(sent, ['first']);
  await turn();
  assert.deepEqual(sent, ['first', 'second']);
  sendDue();
  assert.equal(sent.length, 2);
});
