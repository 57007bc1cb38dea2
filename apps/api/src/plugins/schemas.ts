import { FaultError } from '@arcus/gateway/fault.ts';
import { faultsOf } from '@arcus/gateway/issues.ts';
import type { FastifyInstance, FastifySchemaCompiler, preValidationHookHandler } from 'fastify';
import { z } from 'zod';
import { Problem } from '../http/problem.ts';

/** Requests are parsed by zod, with all faults at once; answers are plain JSON (their schemas are for OpenAPI). */
export function schemas(app: FastifyInstance): void {
  app.setValidatorCompiler(validator);
  app.setSerializerCompiler(() => JSON.stringify);
}

const validator: FastifySchemaCompiler<z.ZodType> =
  ({ schema }) =>
  (data: unknown) => {
    const result = schema.safeParse(data);
    return result.success ? { value: result.data } : { error: new FaultError(faultsOf(result.error, data)) };
  };

const NoQuery = z.strictObject({});

/** Routes registered after it that say nothing of a query or a body take none: what is sent is refused, not ignored. */
export function nothingUnasked(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const { querystring = NoQuery, body } = (route.schema ?? {}) as { querystring?: unknown; body?: unknown };
    route.schema = { ...route.schema, querystring };
    if (body === undefined) route.preValidation = [...[route.preValidation ?? []].flat(), demandNoBody];
  });
}

/** An object without anything in it says nothing either: some clients always send one. */
const demandNoBody: preValidationHookHandler = async ({ body }) => {
  if (body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0)) return;
  throw new Problem('bad_request', 'No body is taken here: what it says would be ignored', {
    faults: [{ pointer: '', code: 'unexpected_body', message: 'must be absent' }],
  });
};

/**
 * For routes whose body is (a part of) a config document: its schema is what OpenAPI shows, and `change` parses it
 * together with the whole, so that one answer holds all faults.
 */
export const parsedLater: FastifySchemaCompiler<any> = (route) =>
  route.httpPart === 'body' ? (value: unknown) => ({ value }) : validator(route);

/** For routes whose body may be left out: it is an empty object then. */
export const bodyOptional: FastifySchemaCompiler<any> = (route) => {
  const validate = validator(route);
  return route.httpPart === 'body' ? (value: unknown) => validate(value ?? {}) : validate;
};
