import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { within } from '../../http/within.ts';
import { publicAccess } from '../../plugins/auth.ts';

const Part = z.object({
  status: z.enum(['healthy', 'unhealthy', 'disabled']),
  latency_ms: z.number().nullable(),
  reason: z.string().optional().describe('Why it is not healthy'),
});
type Part = z.output<typeof Part>;

const Health = z
  .object({
    status: z
      .enum(['healthy', 'degraded', 'unhealthy'])
      .describe(
        'degraded: writes stay pending (store) or metrics are missing (Redis); unhealthy: nothing works (database)',
      ),
    database: Part,
    store: Part,
    redis: Part,
  })
  .meta({ id: 'Health' });

/** A part that has not answered by then is as good as gone, ms. */
const PATIENCE = 2000;

async function probe(ask: () => Promise<unknown>): Promise<Part> {
  const start = performance.now();
  try {
    const answer = await within(
      PATIENCE,
      ask().then(() => true),
    );
    if (answer === null) {
      return { status: 'unhealthy', latency_ms: null, reason: `no answer within ${PATIENCE} ms` };
    }
    return { status: 'healthy', latency_ms: Math.round((performance.now() - start) * 100) / 100 };
  } catch {
    // Error texts name hosts and users: they are for the log of who looks after the part, not for everybody.
    return { status: 'unhealthy', latency_ms: null, reason: 'cannot be reached' };
  }
}

export function healthRoutes({ db, store, redis }: Context): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/health',
      {
        config: publicAccess,
        schema: {
          tags: ['health'],
          summary: 'How the service and what it needs are',
          security: [],
          response: { 200: Health, 503: Health },
        },
      },
      async (_request, reply) => {
        const [database, config, cache] = await Promise.all([
          probe(() => db.client.$queryRaw`SELECT 1`),
          probe(() => store.ping()),
          redis ? probe(() => redis.ping()) : ({ status: 'disabled', latency_ms: null } satisfies Part),
        ]);
        const status =
          database.status === 'unhealthy'
            ? 'unhealthy'
            : config.status === 'unhealthy' || cache.status === 'unhealthy'
              ? 'degraded'
              : 'healthy';
        reply.header('cache-control', 'no-store');
        return reply.code(status === 'unhealthy' ? 503 : 200).send({ status, database, store: config, redis: cache });
      },
    );
  };
}
