import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { startEmbeddedRedis } from './redis.ts';

test('the embedded Redis serves who has the password, on this machine only, and closes with clients still there', async () => {
  const server = await startEmbeddedRedis();
  const redis = new Redis(server.url, { retryStrategy: () => null });
  redis.on('error', () => {});
  await redis.pipeline().hincrby('h', 'f', 2).expire('h', 60).exec();
  assert.equal(await redis.hget('h', 'f'), '2');
  assert.equal(await redis.ping(), 'PONG');

  const url = new URL(server.url);
  assert.equal(url.hostname, '127.0.0.1');
  const stranger = new Redis(Number(url.port), { retryStrategy: () => null });
  stranger.on('error', () => {});
  await assert.rejects(stranger.get('h'), /NOAUTH/);
  await server.close();
  stranger.disconnect();
  redis.disconnect();
});
