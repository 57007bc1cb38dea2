import { StoreUnavailable } from '@arcus/control/store.ts';
import { FaultError, pointer } from '@arcus/gateway/fault.ts';
import type { FastifyError, FastifyInstance } from 'fastify';
import { isAway } from '../db/open.ts';
import { invalid, Problem, type ProblemCode, sentenceOf } from '../http/problem.ts';

const byStatus = new Map<number, ProblemCode>([
  [405, 'method_not_allowed'],
  [413, 'too_large'],
  [415, 'unsupported_media_type'],
]);

/** Every failure below a route leaves as application/problem+json; what we did not foresee says nothing of its cause. */
export function errors(app: FastifyInstance): void {
  const offered = methodsByPath(app);
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error as Error);
    // Workers that have not answered in time: nothing failed here, and the answer says who.
    if (problem.code === 'release_unacknowledged') request.log.warn({ reason: problem.message }, problem.code);
    else if (problem.status >= 500) request.log.error({ err: error }, 'request failed');
    else request.log.debug({ code: problem.code, reason: problem.message }, 'request refused');
    // What is left of the body is not read.
    if (problem.code === 'too_large') reply.header('connection', 'close');
    if (problem.code === 'unauthorized') reply.header('www-authenticate', 'Bearer realm="arcus"');
    return reply
      .code(problem.status)
      .type('application/problem+json')
      .serializer(JSON.stringify)
      .send(problem.body(request.id));
  });
  app.setNotFoundHandler((request, reply) => {
    const allow = offered(request.url.split('?', 1)[0]!);
    const problem =
      allow.length > 0
        ? new Problem('method_not_allowed', `${request.method} is not offered here, but ${allow.join(', ')}`)
        : new Problem('not_found', 'There is no such route: see /docs');
    if (allow.length > 0) reply.header('allow', allow.join(', '));
    return reply
      .code(problem.status)
      .type('application/problem+json')
      .serializer(JSON.stringify)
      .send(problem.body(request.id));
  });
}

/** Which methods a path has: the router itself only says that a method and a path do not go together. */
function methodsByPath(app: FastifyInstance): (path: string) => string[] {
  const routes = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    if (!url.startsWith('/api/')) return;
    const pattern = new RegExp(`^${url.replaceAll(/:[a-z_]+/g, '[^/]+')}$`);
    const route = routes.get(url) ?? { pattern, methods: new Set() };
    for (const one of [method].flat()) route.methods.add(one);
    routes.set(url, route);
  });
  return (path) => {
    const matching = [...routes.values()].filter(({ pattern }) => pattern.test(path));
    return [...new Set(matching.flatMap(({ methods }) => [...methods]))].sort();
  };
}

function problemOf(error: Error): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof FaultError) {
    const part = (error as { validationContext?: string }).validationContext;
    if (part === undefined || part === 'body') return invalid(error.faults);
    const at = part === 'querystring' ? 'query' : part;
    const faults = error.faults.map((fault) => ({
      ...fault,
      message: fault.message.replace(/^unknown key /, `unknown ${at} key `),
    }));
    return new Problem('bad_request', faults.map(sentenceOf).join('; '), {
      faults: faults.map((fault) => ({ ...fault, pointer: pointer(at) + fault.pointer })),
    });
  }
  if (error instanceof StoreUnavailable) {
    return new Problem('unavailable', 'The config store cannot be reached', { cause: error });
  }
  if (isAway(error)) return new Problem('unavailable', 'The database cannot be reached', { cause: error });
  const { statusCode } = error as FastifyError;
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem(byStatus.get(statusCode) ?? 'bad_request', error.message);
  }
  return new Problem('internal', undefined, { cause: error });
}
