/** What routes of config objects work on: a tenant's live config, or a draft of it. The routes are the same. */
import type { AnyObject, Config } from '@arcus/gateway/config.ts';
import type { Family } from '@arcus/gateway/kind.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Prisma } from '../../db/open.ts';
import type { Tag } from '../../http/etag.ts';
import type { Edit } from '../releases/request.ts';
import type { TenantState } from '../releases/state.ts';

/** The parameters of a path, parsed. */
export type TargetParams = { tenant_id: string };
export type UserRow = Prisma.UserModel;

export interface Tagged<T> {
  value: T;
  tag: Tag;
}

/** Entity tags of what is there; null: it is not. */
export interface Tags {
  object(family: Family, name: string): Promise<Tag | null>;
  user(username: string): Promise<Tag | null>;
  readonly config: Tag;
}

export interface Page {
  /** Only names behind this one. */
  after: string;
  /** How many at most. */
  take: number;
}

export interface Write {
  /** For the audit event. */
  action: string;
  target: string;
  /** Check everything, store nothing. */
  dryRun?: boolean;
  /** May run again; throws Problem to refuse. The tags are those of `state`. */
  edit(state: TenantState, tags: Tags): Edit | Promise<Edit>;
}

export interface Written {
  /** After the write. */
  state: TenantState;
  tags: Tags;
  /** What a write of the whole config answers. */
  result: object;
}

export interface Target {
  /** Of what it is, for OpenAPI: '' or ' in a draft'. */
  readonly where: string;
  /** Where its routes are, such as `/tenants/:tenant_id`. */
  readonly path: string;
  readonly params: z.ZodObject;
  /** Query of its writes. */
  readonly query: z.ZodObject;
  /** Query of writes of the whole config. */
  readonly documentQuery: z.ZodObject;
  /** Schema of `Written.result`. */
  readonly result: z.ZodType;

  /** All reads throw 404 for a tenant or draft that is not there. */
  objects(params: TargetParams, family: Family, page: Page & { type: string | undefined }): Promise<AnyObject[]>;
  object(params: TargetParams, family: Family, name: string): Promise<Tagged<AnyObject> | null>;
  users(
    params: TargetParams,
    page: Page & { user_group: string | undefined; blocked: boolean | undefined },
  ): Promise<UserRow[]>;
  user(params: TargetParams, username: string): Promise<Tagged<UserRow> | null>;
  config(params: TargetParams): Promise<{ tag: Tag; load(): Promise<{ config: Config; version: number }> }>;

  /**
   * Applies an edit, all of it or nothing; throws Problem with all faults. Says on the answer what became of it, and
   * waits for the workers when the query asks for that.
   */
  write(request: FastifyRequest, reply: FastifyReply, write: Write): Promise<Written>;
}

/** The target's path as a client would write it, for Location. */
export const located = (target: Target, params: object): string =>
  `/api/v1${target.path.replaceAll(/:([a-z_]+)/g, (_, key: string) => encodeURIComponent(String((params as Record<string, unknown>)[key])))}`;
