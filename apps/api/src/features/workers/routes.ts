import { WorkerRecord } from '@arcus/control/release.ts';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Context } from '../../deps.ts';
import { cursorKey, PageQuery, page, pageOf } from '../../http/pagination.ts';
import { access } from '../../plugins/auth.ts';

const Worker = WorkerRecord.omit({ schema: true }).meta({ id: 'Worker' });

export function workerRoutes({ store }: Context): FastifyPluginAsyncZod {
  return async (app) => {
    app.get(
      '/workers',
      {
        config: access('read', 'all'),
        schema: {
          tags: ['workers'],
          summary: 'List live workers: one that stops answering is gone when its lease ends',
          querystring: PageQuery,
          response: { 200: pageOf(Worker) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const after = cursorKey(cursor, z.string()) ?? '';
        const workers = (await store.listWorkers())
          .filter((worker) => worker.id > after)
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit + 1);
        return page(
          workers,
          limit,
          (worker) => worker.id,
          ({ schema: _, ...worker }) => worker,
        );
      },
    );
  };
}
