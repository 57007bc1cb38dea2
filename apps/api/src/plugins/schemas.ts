import { FaultError } from '@arcus/gateway/fault.ts';
import { faultsOf } from '@arcus/gateway/issues.ts';
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify';
import type { z } from 'zod';

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
