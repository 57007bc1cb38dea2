import type { FastifyBaseLogger } from 'fastify';
import { Redis } from 'ioredis';

/**
 * A client that never holds a request up: while Redis is away calls fail at once instead of queueing, and the log says
 * it once, not at every try.
 */
export function openRedis(url: string, log: FastifyBaseLogger): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: 2000,
    commandTimeout: 2000,
    retryStrategy: (times) => Math.min(2000, 100 * times) * (0.75 + Math.random() / 2),
  });
  let said = false;
  redis.on('error', (error: Error) => {
    if (!said) log.warn({ reason: error.message }, 'Redis is away: there are no metrics for now');
    said = true;
  });
  redis.on('ready', () => {
    if (said) log.info('Redis is back');
    said = false;
  });
  redis.connect().catch(() => {});
  return redis;
}
