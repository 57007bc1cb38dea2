import type { Config, TenantInfo } from './config.ts';
import type { Auditor, Escaper, GraphHandle, Policy, Resolver, Server, UserGroup } from './kind.ts';
import type { Services } from './services.ts';

export interface CompileDeps {
  readonly services: Services;
  /** Clear text of a sealed value; throws when the key is missing or the value was sealed for another place. */
  unseal(value: string, place: string): string;
}

export interface Graph extends GraphHandle {
  readonly info: TenantInfo;
  readonly config: Config;
  readonly servers: ReadonlyMap<string, Server>;
  readonly escapers: ReadonlyMap<string, Escaper>;
  readonly resolvers: ReadonlyMap<string, Resolver>;
  readonly user_groups: ReadonlyMap<string, UserGroup>;
  readonly auditors: ReadonlyMap<string, Auditor>;
  readonly policies: readonly Policy[];
  /** Sessions that still run on it. */
  readonly sessions: number;
  /** No new session will come: objects that no newer graph shares are closed when the last session has ended. */
  retire(): void;
}

/** Placeholder until the next commit. */
export declare function compile(
  info: TenantInfo,
  version: number,
  config: Config,
  deps: CompileDeps,
  previous?: Graph,
): Graph;
