import type { Sealer } from '@arcus/control/seal.ts';
import type { Signer, Verifier } from '@arcus/control/sign.ts';
import type { ConfigStore } from '@arcus/control/store.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { Redis } from 'ioredis';
import type { Db } from './db/open.ts';
import type { Drafts } from './features/drafts/drafts.ts';
import type { Changes } from './features/releases/change.ts';
import type { Publisher } from './features/releases/publisher.ts';
import type { Retention, RetentionRules } from './features/releases/retention.ts';
import type { RolloutEngine } from './features/rollouts/engine.ts';
import type { Mover } from './features/tenants/mover.ts';
import type { Fleet } from './features/workers/fleet.ts';

/** What the composition root hands to the application; whoever made them closes them. */
export interface Deps {
  readonly db: Db;
  readonly store: ConfigStore;
  /** Null: this installation keeps no metrics. */
  readonly redis: Redis | null;
  readonly sealer: Sealer;
  /** Signs heads. */
  readonly signer: Signer;
  /** Says which heads in the store are ours. */
  readonly verifier: Verifier;
  /** How long releases are kept. */
  readonly retention: RetentionRules;
  /** ms since the epoch. */
  readonly now: () => number;
  /** ms, never set back: what rollouts and moves of tenants measure time by. Default: performance.now. */
  readonly clock?: (() => number) | undefined;
  readonly log: FastifyBaseLogger;
}

/** What features use. */
export interface Context extends Omit<Deps, 'retention'> {
  readonly changes: Changes;
  readonly publisher: Publisher;
  readonly rollouts: RolloutEngine;
  readonly mover: Mover;
  readonly drafts: Drafts;
  readonly retention: Retention;
  readonly fleet: Fleet;
}
