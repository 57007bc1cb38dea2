import { z } from 'zod';
import { type Fault, pointer } from '../fault.ts';
import { secret, type User, writeOnly } from '../kind.ts';
import { requestRateLimit } from '../limits.ts';
import { HostRules } from '../match/rules.ts';
import { HASH_BOUND, hashFault } from '../password.ts';
import { run } from '../slices.ts';

/** Name of a user: no colon (RFC 7617 section 2), no control characters. */
export const UserName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^:\p{Cc}]*$/u, 'must not contain ":" or control characters')
  .describe('Name the user logs in with');

const Host = z.string().min(1).max(255);

export const StaticUser = z
  .strictObject({
    name: UserName,
    password: writeOnly('Password in clear: accepted on write, turned into password_hash, never stored').optional(),
    password_hash: secret(`argon2id hash of the password in PHC form; ${HASH_BOUND}`).optional(),
    token: z
      .strictObject({
        salt: z.string().min(1).max(255).describe('Put before the password'),
        sha1: secret('SHA-1 of salt and password, hexadecimal'),
      })
      .optional()
      .describe('Imported credential: a salted fast hash, weaker than password_hash'),
    blocked: z.boolean().default(false).describe('A blocked user is known and refused'),
    dst_port_filter: z
      .array(z.int().min(1).max(65535))
      .min(1)
      .max(1000)
      .optional()
      .describe('Ports this user may go to; any if absent'),
    dst_host_filter_set: z
      .strictObject({
        exact: z.array(Host).max(10_000).default([]).describe('Hosts'),
        child: z.array(Host).max(10_000).default([]).describe('Domains, each with all names below it'),
      })
      .optional()
      .describe('Hosts this user may go to, and no others; any if absent'),
    request_rate_limit: requestRateLimit,
  })
  .meta({ id: 'StaticUser' });
export type StaticUser = z.output<typeof StaticUser>;

/** A user of a graph. */
export class GroupUser implements User {
  readonly name: string;
  readonly group: string;
  readonly blocked: boolean;
  readonly ports: ReadonlySet<number> | undefined;
  readonly requestRateLimit: number | undefined;
  readonly #hosts: HostRules | undefined;

  constructor(config: StaticUser, group: string) {
    this.name = config.name;
    this.group = group;
    this.blocked = config.blocked;
    this.ports = config.dst_port_filter && new Set(config.dst_port_filter);
    this.requestRateLimit = config.request_rate_limit;
    const filter = config.dst_host_filter_set;
    if (filter) {
      this.#hosts = new HostRules();
      for (const host of filter.exact) this.#hosts.add('exact_match', host, 0);
      for (const host of filter.child) this.#hosts.add('child_match', host, 0);
      run(this.#hosts.settle((value) => value));
    }
  }

  denies(host: string): string | null {
    if (this.#hosts === undefined || this.#hosts.find(host, isLiteral(host)) !== undefined) return null;
    return `user ${this.name} may not go to ${host}`;
  }
}

/** Hosts of sessions are canonical: what has a colon or ends in a digit's label is an address. */
const isLiteral = (host: string): boolean => host.includes(':') || /\.\d+$/.test(host);

/** What proves a login as this user; '' when nothing does and so nobody can log in. Changes with the credential. */
export function proofOf(user: StaticUser): string {
  if (user.password_hash !== undefined) return `argon2id ${user.password_hash}`;
  return user.token === undefined ? '' : `sha1 ${user.token.salt} ${user.token.sha1}`;
}

export const isSealed = (value: string): boolean => value.startsWith('sealed:v1:');

/** Faults of one user, pointers relative to it. Messages never repeat a credential. */
export function* checkUser(user: StaticUser): Generator<Fault> {
  const { password, password_hash, token, dst_host_filter_set: hosts } = user;
  const given = [password, password_hash, token].filter((v) => v !== undefined).length;
  if (given > 1) {
    const message = 'only one of password, password_hash and token';
    yield { pointer: '', code: 'several_credentials', message };
  }
  if (password_hash !== undefined && !isSealed(password_hash)) {
    const message = hashFault(password_hash);
    if (message) yield { pointer: '/password_hash', code: 'bad_hash', message };
  }
  if (token !== undefined && !isSealed(token.sha1) && !/^[0-9a-f]{40}$/i.test(token.sha1)) {
    yield { pointer: '/token/sha1', code: 'bad_hash', message: 'must be 40 hexadecimal digits' };
  }
  if (hosts === undefined) return;
  const probe = new HostRules();
  for (const key of ['exact', 'child'] as const) {
    for (const [i, host] of hosts[key].entries()) {
      try {
        probe.add(`${key}_match`, host, 0);
      } catch (error) {
        const at = pointer('dst_host_filter_set', key, i);
        yield { pointer: at, code: 'bad_host', message: (error as Error).message };
      }
    }
  }
}
