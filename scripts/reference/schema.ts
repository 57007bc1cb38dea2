/** JSON Schema (draft 2020-12), as far as zod writes it, in words. */
export interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly secret?: boolean;
  readonly writeOnly?: boolean;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** One row for each field, nested ones by their path: field, type, default, meaning. */
export function rowsOf(schema: JsonSchema): string[][] {
  return fields(resolve(schema, schema), '', schema);
}

function fields(object: JsonSchema, prefix: string, root: JsonSchema): string[][] {
  return Object.entries(object.properties ?? {}).flatMap(([name, given]) => {
    const field = resolve(given, root);
    const path = `${prefix}${name}`;
    const own = [
      `\`${path}\``,
      typeOf(field, root),
      defaultOf(field, object.required?.includes(name) ?? false),
      meaning(field),
    ];
    const inner = field.items ? resolve(field.items, root) : field;
    return [own, ...fields(inner, `${path}${field.items ? '[]' : ''}.`, root)];
  });
}

function resolve(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const name = schema.$ref?.replace('#/$defs/', '');
  return name === undefined ? schema : { ...root.$defs?.[name], ...schema };
}

const code = (value: unknown): string => `\`${JSON.stringify(value)}\``;

function typeOf(given: JsonSchema, root: JsonSchema): string {
  const schema = resolve(given, root);
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum) return schema.enum.map(code).join(', ');
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return either.map((s) => typeOf(s, root)).join(' or ');
  if (schema.items) return `list of ${typeOf(schema.items, root)}`;
  if (schema.type === 'integer' || schema.type === 'number') return `${schema.type}${range(schema)}`;
  return schema.type ?? 'any';
}

function range({ minimum, maximum }: JsonSchema): string {
  const low = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const high = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (low !== undefined && high !== undefined) return ` ${low} to ${high}`;
  if (low !== undefined) return ` from ${low}`;
  return high === undefined ? '' : ` to ${high}`;
}

const defaultOf = (field: JsonSchema, required: boolean): string =>
  field.default !== undefined ? code(field.default) : required ? 'required' : '';

function meaning({ description = '', secret, writeOnly }: JsonSchema): string {
  const mark = secret ? ' (secret: sealed when stored)' : writeOnly ? ' (only written, never read)' : '';
  return description + mark;
}
