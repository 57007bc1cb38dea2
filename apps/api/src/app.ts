import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Context, Deps } from './deps.ts';
import { auditRoutes } from './features/audit/routes.ts';
import { configRoutes } from './features/config/routes.ts';
import { Drafts } from './features/drafts/drafts.ts';
import { draftRoutes } from './features/drafts/routes.ts';
import { healthRoutes } from './features/health/routes.ts';
import { metricsRoutes } from './features/metrics/routes.ts';
import { Changes } from './features/releases/change.ts';
import { Publisher } from './features/releases/publisher.ts';
import { Retention } from './features/releases/retention.ts';
import { releaseRoutes } from './features/releases/routes.ts';
import { resourceRoutes } from './features/resources/routes.ts';
import { RolloutEngine } from './features/rollouts/engine.ts';
import { rolloutRoutes } from './features/rollouts/routes.ts';
import { liveTarget } from './features/targets/live.ts';
import { Mover } from './features/tenants/mover.ts';
import { tenantRoutes } from './features/tenants/routes.ts';
import { tokenRoutes } from './features/tokens/routes.ts';
import { verifyToken } from './features/tokens/store.ts';
import { userRoutes } from './features/users/routes.ts';
import { Fleet } from './features/workers/fleet.ts';
import { workerRoutes } from './features/workers/routes.ts';
import { auth } from './plugins/auth.ts';
import { bodies } from './plugins/bodies.ts';
import { errors } from './plugins/errors.ts';
import { describeProblems, openapi } from './plugins/openapi.ts';
import { nothingUnasked, schemas } from './plugins/schemas.ts';

export interface App {
  /** Not listening yet; `inject` works. */
  readonly http: FastifyInstance;
  readonly context: Context;
  /** Finishes the requests that run, then the releases that are on their way. What was handed in stays open. */
  close(): Promise<void>;
}

export const version = '0.1.0';

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** The management service, made of what it is given. Nothing listens, and the reconciler does not run, before `start`. */
export async function buildApp(deps: Deps): Promise<App> {
  const { db, log } = deps;
  const changes = new Changes(deps);
  const publisher = new Publisher(deps);
  const drafts = new Drafts({ ...deps, changes });
  const fleet = new Fleet(deps);
  const expire = () => Promise.all([drafts.expire(), fleet.expire()]);
  const retention = new Retention({ ...deps, rules: deps.retention, expire });
  const mover = new Mover({ ...deps, changes, publisher, fleet }, deps.clock);
  const rollouts = new RolloutEngine({ ...deps, changes, publisher, fleet }, deps.clock);
  const context: Context = { ...deps, changes, publisher, mover, rollouts, drafts, retention, fleet };

  const http = Fastify({
    loggerInstance: log,
    // One line per request, ours below.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 8 * 1024 * 1024,
    routerOptions: { maxParamLength: 1024 },
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
    },
  });
  schemas(http);
  errors(http);
  auth(http, (token) =>
    verifyToken(db, token, deps.now(), (error) => log.warn({ err: error }, 'last_used_at was not written')),
  );
  bodies(http);
  let closing = false;
  http.addHook('preClose', async () => {
    closing = true;
  });
  http.addHook('onSend', async (request, reply) => {
    // Who stops ends the connections that are idle then. One that is answered later would be kept for another request,
    // which never comes, and the stop would wait for more than a minute.
    if (closing) reply.header('connection', 'close');
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-cache');
  });
  http.addHook('onResponse', async (request, reply) => {
    // The route, not the URL: queries may carry what does not belong in a log.
    request.log.info(
      {
        method: request.method,
        route: request.routeOptions.url ?? '',
        params: request.params,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 100) / 100,
        actor: request.actor?.name ?? '',
      },
      'request',
    );
  });

  await openapi(http, version);
  await http.register(
    async (api) => {
      nothingUnasked(api);
      describeProblems(api);
      const live = liveTarget(context);
      await api.register(healthRoutes(context));
      await api.register(tenantRoutes(context));
      await api.register(configRoutes(context));
      await api.register(resourceRoutes(live));
      await api.register(userRoutes(live, deps.sealer));
      await api.register(releaseRoutes(context));
      await api.register(rolloutRoutes(context));
      await api.register(draftRoutes(context));
      await api.register(workerRoutes(context));
      await api.register(tokenRoutes(context));
      await api.register(auditRoutes(context));
      await api.register(metricsRoutes(context));
    },
    { prefix: '/api/v1' },
  );
  await http.ready();

  return {
    http,
    context,
    async close() {
      await http.close();
      await fleet.close();
      await retention.close();
      await Promise.all([rollouts.close(), mover.close()]);
      await publisher.close();
      changes.close();
    },
  };
}
