import type { Blocker } from './listeners.ts';

/** A tenant whose newest release is ready but for addresses that others have. */
export interface Blocked {
  readonly tenant: { readonly id: string };
  /** All addresses that the release wants. */
  readonly wants: ReadonlySet<string>;
  readonly blockers: readonly Blocker[];
}

/**
 * Tenants that wait for each other: `first`, and all whose addresses it needs, directly or by others, when each of them
 * is blocked as well and gives up what is in the way. One after another none of them could go on; together they can.
 * Null when somebody is among them who is not blocked, or who keeps his address.
 */
export function circleOf<B extends Blocked>(first: B, blocked: (tenant: string) => B | null): B[] | null {
  const circle = new Map([[first.tenant.id, first]]);
  // Who is added meanwhile has his turn, too.
  for (const { blockers } of circle.values()) {
    for (const { tenant, address } of blockers) {
      const holder = circle.get(tenant) ?? blocked(tenant);
      if (holder === null || holder.wants.has(address)) return null;
      circle.set(tenant, holder);
    }
  }
  return circle.size > 1 ? [...circle.values()] : null;
}
