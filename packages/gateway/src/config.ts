import { z } from 'zod';
import { auditorKinds } from './auditors/kinds.ts';
import { escaperKinds } from './escapers/kinds.ts';
import { ENOUGH, type Fault, pointer } from './fault.ts';
import { type Family, families, type Kind, Name } from './kind.ts';
import { StoredLimits } from './limits.ts';
import { parseInSteps } from './parse.ts';
import { policyKinds } from './policies/kinds.ts';
import { resolverKinds } from './resolvers/kinds.ts';
import { serverKinds } from './servers/kinds.ts';
import { run, type Steps } from './slices.ts';
import { userGroupKinds } from './users/kinds.ts';

/** The tenant itself, as far as a worker must know it. */
export const TenantInfo = z
  .strictObject({
    tenant_id: z.string().describe('Id of the tenant'),
    tenant_name: z.string().describe('Its name for people'),
    status: z
      .enum(['active', 'inactive', 'suspended'])
      .describe('inactive: its listeners are closed; suspended: they answer 403'),
    resource_limits: StoredLimits,
  })
  .meta({ id: 'TenantInfo' });
export type TenantInfo = z.output<typeof TenantInfo>;

/** All kinds that exist, by family. */
export const kinds = {
  servers: serverKinds,
  escapers: escaperKinds,
  resolvers: resolverKinds,
  user_groups: userGroupKinds,
  auditors: auditorKinds,
  policies: policyKinds,
} as const;

type Configs<L extends readonly Kind[]> = { -readonly [I in keyof L]: L[I]['config'] };

/** `oneOf` over the kinds of a family, told apart by `type`. */
function oneOf<const L extends readonly [Kind, ...Kind[]]>(list: L, id: string) {
  const options = list.map((kind) => kind.config) as unknown as Configs<L> & readonly z.core.$ZodTypeDiscriminable[];
  return z.discriminatedUnion('type', options as any).meta({ id }) as unknown as z.ZodDiscriminatedUnion<
    Configs<L> & z.core.$ZodTypeDiscriminable[]
  >;
}

export const ServerConfig = oneOf(serverKinds, 'Server');
export const EscaperConfig = oneOf(escaperKinds, 'Escaper');
export const ResolverConfig = oneOf(resolverKinds, 'Resolver');
export const UserGroupConfig = oneOf(userGroupKinds, 'UserGroup');
export const AuditorConfig = oneOf(auditorKinds, 'Auditor');
export const PolicyConfig = oneOf(policyKinds, 'Policy');

/** The schema of one object, by family. */
export const objectSchemas = {
  servers: ServerConfig,
  escapers: EscaperConfig,
  resolvers: ResolverConfig,
  user_groups: UserGroupConfig,
  auditors: AuditorConfig,
  policies: PolicyConfig,
} as const;

/** A tenant's whole config: one document. */
export const Config = z
  .strictObject({
    servers: z.array(ServerConfig).default([]).describe('Listeners'),
    escapers: z.array(EscaperConfig).default([]).describe('Ways out'),
    resolvers: z.array(ResolverConfig).default([]).describe('Sources of addresses for names'),
    user_groups: z.array(UserGroupConfig).default([]).describe('Who may use a server'),
    auditors: z.array(AuditorConfig).default([]).describe('What looks into the traffic'),
    policies: z.array(PolicyConfig).default([]).describe('Who may go where, and when'),
  })
  .meta({ id: 'Config', description: "A tenant's whole configuration" });
export type Config = z.output<typeof Config>;
export type ConfigInput = z.input<typeof Config>;

/** What every config object has. */
export interface AnyObject {
  readonly name: string;
  readonly type: string;
  readonly enabled: boolean;
}

export const emptyConfig = (): Config => configOf([]);

const byType = new Map<string, Kind>(
  families.flatMap((family) => (kinds[family] as readonly Kind[]).map((kind) => [`${family}/${kind.type}`, kind])),
);

/** The kind of that type in that family; undefined when there is none. */
export function kindOf(family: Family, type: string): Kind | undefined {
  return byType.get(`${family}/${type}`);
}

/** An object of the document, whether it could be parsed or not. */
export interface Entry {
  readonly family: Family;
  readonly index: number;
  /** '' when it has no usable name. */
  readonly name: string;
  /** Null when it has faults. */
  readonly object: AnyObject | null;
}

export interface Parsed {
  readonly entries: readonly Entry[];
  readonly faults: Fault[];
}

/** What an object was in the release before, as it was parsed. */
export type Before = (family: Family, name: string) => AnyObject | undefined;

/** Parses object by object, so that one fault hides no other. */
export function* parseEntries(input: unknown, before?: Before): Steps<Parsed> {
  const entries: Entry[] = [];
  const faults: Fault[] = [];
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    faults.push({ pointer: '', code: 'invalid_type', message: 'a config is an object of lists of named objects' });
    return { entries, faults };
  }
  for (const key of Object.keys(input)) {
    if (!(families as readonly string[]).includes(key)) {
      const message = `unknown key "${key}"; known: ${families.join(', ')}`;
      faults.push({ pointer: pointer(key), code: 'unknown_key', message });
    }
  }
  for (const family of families) {
    const list = (input as Record<string, unknown>)[family];
    if (list === undefined) continue;
    if (!Array.isArray(list)) {
      faults.push({ pointer: pointer(family), code: 'invalid_type', message: 'must be a list' });
      continue;
    }
    for (const [index, value] of list.entries()) {
      const { object, faults: found } = yield* parseObjectSteps(family, value, before);
      for (const f of found) faults.push({ ...f, pointer: pointer(family, index) + f.pointer });
      if (faults.length >= ENOUGH) return { entries, faults };
      entries.push({ family, index, object, name: object?.name ?? usableName(value) });
      yield;
    }
  }
  return { entries, faults };
}

/** The name of an object with faults, for references to it; '' when it has none. */
function usableName(value: unknown): string {
  const name = (value as { name?: unknown } | null)?.name;
  return Name.safeParse(name).success ? (name as string) : '';
}

/** Parses one object of a family; pointers are relative to it. */
export function parseObject<F extends Family>(
  family: F,
  input: unknown,
): { object: Config[F][number] | null; faults: Fault[] } {
  return run(parseObjectSteps(family, input)) as { object: Config[F][number] | null; faults: Fault[] };
}

function* parseObjectSteps(
  family: Family,
  input: unknown,
  before?: Before,
): Steps<{ object: AnyObject | null; faults: Fault[] }> {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return { object: null, faults: [{ pointer: '', code: 'invalid_type', message: 'must be an object' }] };
  }
  const type = (input as { type?: unknown }).type;
  const kind = typeof type === 'string' ? kindOf(family, type) : undefined;
  if (!kind) {
    const known = (kinds[family] as readonly Kind[]).map((k) => k.type).join(', ');
    const [code, what] =
      type === undefined
        ? (['required', 'is required'] as const)
        : ([
            'unknown_type',
            typeof type === 'string' ? `type "${type.slice(0, 64)}" is unknown` : 'must be a string',
          ] as const);
    return { object: null, faults: [{ pointer: '/type', code, message: `${what}; known: ${known}` }] };
  }
  return yield* parseInSteps(kind.config as z.ZodObject, input as Record<string, unknown>, () =>
    before?.(family, (input as { name?: unknown }).name as string),
  );
}

/** The config of entries that all were parsed. */
export function configOf(entries: readonly Entry[]): Config {
  const lists = Object.fromEntries(families.map((family) => [family, []])) as unknown as Record<Family, AnyObject[]>;
  for (const { family, object } of entries) if (object) lists[family].push(object);
  // A copy is just as long as it has to be: thousands of tenants keep theirs.
  for (const family of families) lists[family] = lists[family].slice();
  return lists as Config;
}

/**
 * A config from what a document says. All faults at once, with pointers into the document; messages never hold a
 * value of a secret field. What needs the whole of it (names, loops, …) is said by `check`; `examine` does both.
 */
export function parseConfig(input: unknown): { config: Config | null; faults: Fault[] } {
  const { entries, faults } = run(parseEntries(input));
  return { config: faults.length === 0 ? configOf(entries) : null, faults };
}
