import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startRawOrigin } from '@arcus/testkit/origin.ts';
import { RawClient } from '@arcus/testkit/raw-client.ts';
import { until } from '@arcus/testkit/until.ts';
import { startTestProxy } from '../testing/proxy.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

async function setUp() {
  const origin = await startRawOrigin();
  const proxy = await startTestProxy();
  const client = await RawClient.connect({ port: proxy.port });
  return {
    origin,
    client,
    ask: () => client.send(`GET http://127.0.0.1:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`),
    answer: () => origin.connections.at(-1)!.socket.write(OK),
    asked: (times: number) => until(() => origin.received().toString().split('GET /').length - 1 === times),
    drain: (patient: boolean) => {
      for (const connection of proxy.binding.open) connection.drain(patient);
    },
    open: () => proxy.binding.open.size,
    async [Symbol.asyncDispose]() {
      client.socket.destroy();
      await Promise.all([proxy.close(), origin.close()]);
    },
  };
}

test('a connection that waits while its process stops gets one answer more, which says that it ends', async () => {
  await using w = await setUp();
  await until(() => w.open() === 1);
  w.drain(true);
  await w.ask();
  await w.asked(1);
  w.answer();
  assert.equal((await w.client.readResponse()).headers.connection, 'close');
  assert.equal(await w.client.closed(), 'end');
});

test('a client whose answer was on its way when its process began to stop may ask once more', async () => {
  await using w = await setUp();
  await w.ask();
  await w.asked(1);
  // Its head has passed without a word of an end.
  const [connection] = w.origin.connections;
  connection!.socket.write(OK.slice(0, -1));
  await w.client.readUntil('\r\n\r\no');
  w.drain(true);
  connection!.socket.write('k');
  await w.client.read(1);
  await w.ask();
  await w.asked(2);
  w.answer();
  assert.equal((await w.client.readResponse()).headers.connection, 'close');
  assert.equal(await w.client.closed(), 'end');
});

test('who has waited long enough ends what is idle', async () => {
  await using w = await setUp();
  await until(() => w.open() === 1);
  w.drain(true);
  w.drain(false);
  assert.equal(await w.client.closed(), 'end');
});
