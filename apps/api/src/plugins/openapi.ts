import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { publicAccess } from './auth.ts';

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
    transformObject: jsonSchemaTransformObject,
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
