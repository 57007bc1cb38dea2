/** What holds for all routes of the API, told in its description: names of operations, entity tags, releases, refusals. */

interface Operation {
  operationId?: string;
  parameters?: { name: string; in: string; [more: string]: unknown }[];
  responses: Record<string, Response>;
}
interface Response {
  headers?: Record<string, Reference>;
  [more: string]: unknown;
}
type Reference = { $ref: string };
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { headers?: object; responses?: object; parameters?: object };
}

const header = (description: string) => ({ description, schema: { type: 'string' } });
const headers = {
  ETag: header('Entity tag of what is there now: for If-Match and If-None-Match'),
  Location: header('Where it is'),
  'Arcus-Release': header('Version of the release that holds the write'),
  'Arcus-Release-State': header('published, pending, held or acked, as `state` of a release'),
  'Arcus-Rollout': header('Id of the rollout that began, if ?rollout= asked for one'),
};
type HeaderName = keyof typeof headers;

const refusal = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});
const responses = {
  PreconditionFailed: refusal('If-Match names another state than the one there is'),
  Invalid: refusal('The document has faults: `errors` has all of them'),
  PreconditionRequired: refusal('It exists, and If-Match is missing'),
};
const parameters = {
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    required: false,
    schema: { type: 'string' },
    description: 'The ETag that GET answered, or * for any: needed to change or delete what exists, 428 without',
  },
};

/** Workers carry no entity tag: they write their records themselves. */
const untagged = new Set(['/api/v1/workers/{worker_id}']);

export function withConventions<D>(description: D): D {
  const document = description as Document;
  Object.assign(document.components, { headers, responses, parameters });
  const tagged = (path: string) => {
    const { put, delete: remove } = document.paths[path] ?? {};
    return (put !== undefined || remove !== undefined) && !untagged.has(path);
  };
  const members = Object.keys(document.paths).filter(tagged);
  for (const [path, operations] of Object.entries(document.paths)) {
    const isList = members.some(
      (member) => member.startsWith(`${path}/{`) && !member.slice(path.length + 1).includes('/'),
    );
    for (const [method, operation] of Object.entries(operations)) {
      operation.operationId = operationId(method, path);
      const writes = method !== 'get';
      const makesRelease = writes && operation.parameters?.some(({ name }) => name === 'wait');
      const rollsOut = writes && operation.parameters?.some(({ name }) => name === 'rollout');
      const changes = tagged(path) && (method === 'put' || method === 'delete');
      for (const [status, response] of Object.entries(operation.responses)) {
        if (!status.startsWith('2')) continue;
        const names: HeaderName[] = [
          ...(tagged(path) && method !== 'delete' ? (['ETag'] as const) : []),
          ...(isList && method === 'post' ? (['ETag', 'Location'] as const) : []),
          ...(makesRelease ? (['Arcus-Release', 'Arcus-Release-State'] as const) : []),
          ...(rollsOut ? (['Arcus-Rollout'] as const) : []),
        ];
        if (names.length > 0) {
          response.headers = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
        }
      }
      const refuses = (status: string, name: keyof typeof responses) => {
        operation.responses[status] = { $ref: `#/components/responses/${name}` };
      };
      if (changes) {
        operation.parameters = [...(operation.parameters ?? []), { $ref: '#/components/parameters/IfMatch' } as never];
        refuses('412', 'PreconditionFailed');
        refuses('428', 'PreconditionRequired');
      }
      if (makesRelease || changes || 'requestBody' in operation) refuses('422', 'Invalid');
    }
  }
  return description;
}

/** `put /api/v1/tenants/{tenant_id}/user-groups/{name}` is putTenantsUserGroupsByName. */
function operationId(method: string, path: string): string {
  const segments = path.replace('/api/v1/', '').split('/');
  const words = segments.flatMap((segment, index) => {
    if (!segment.startsWith('{')) return segment.split(/[-_]/);
    return index === segments.length - 1 ? ['by', ...segment.slice(1, -1).split('_')] : [];
  });
  return method + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
}
