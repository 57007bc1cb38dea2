import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { ProblemBody } from '../http/problem.ts';
import { publicAccess } from './auth.ts';
import { withConventions } from './conventions.ts';

interface OpenApi {
  components: { schemas: Record<string, Schema> };
}
interface Schema {
  oneOf?: { $ref?: string }[];
  properties?: Record<string, { const?: unknown }>;
  discriminator?: { propertyName: string; mapping: Record<string, string> };
}

/** Says of each `oneOf` over kinds that `type` tells them apart: zod's JSON Schema has no word for it. */
function withDiscriminators(document: OpenApi): OpenApi {
  const { schemas } = document.components;
  for (const schema of Object.values(schemas)) {
    const mapping: Record<string, string> = {};
    for (const { $ref = '' } of schema.oneOf ?? []) {
      const type = schemas[$ref.replace('#/components/schemas/', '')]?.properties?.type?.const;
      if (typeof type === 'string') mapping[type] = $ref;
    }
    if (schema.oneOf && Object.keys(mapping).length === schema.oneOf.length) {
      schema.discriminator = { propertyName: 'type', mapping };
    }
  }
  return document;
}

/** OpenAPI 3.1 of all routes at /openapi.json, and as a page at /docs. Register before the routes. */
export async function openapi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Arcus',
        version,
        description:
          'Management service of Arcus, a multi-tenant secure web gateway. Each accepted write makes a release of the ' +
          'tenant’s config and publishes it to the workers; `Arcus-Release` and `Arcus-Release-State` name it.',
      },
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A token of POST /api/v1/tokens' } },
      },
      security: [{ token: [] }],
    },
    transform: ({ schema, url, ...rest }) => {
      if (!url.startsWith('/api/')) return { schema: { ...schema, hide: true }, url };
      return jsonSchemaTransform({ schema, url, ...rest } as Parameters<typeof jsonSchemaTransform>[0]);
    },
    transformObject: (input) =>
      withConventions(withDiscriminators(jsonSchemaTransformObject(input) as OpenApi)) as never,
  });
  // The page's own routes carry no access rule of ours: they are public.
  await app.register(async (docs) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, ...publicAccess };
    });
    await docs.register(swaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: false } });
    docs.get('/openapi.json', () => app.swagger());
  });
}

/** Says of all routes registered after it that their refusals are problem details. */
export function describeProblems(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const response = (route.schema?.response ?? {}) as Record<string, unknown>;
    const problem = { description: 'Refused', content: { 'application/problem+json': { schema: ProblemBody } } };
    route.schema = { ...route.schema, response: { ...response, default: problem } };
  });
}
