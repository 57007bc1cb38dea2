/** A writer that never gives up, and a watch that keeps count: what one wrote the other must see once, in order. */
import { type ConfigStore, HeadConflict, type HeadEvent, StoreUnavailable } from '@arcus/control/store.ts';
import { testHead } from '@arcus/testkit/keys.ts';
import { until } from '@arcus/testkit/until.ts';

export type Cleanup = { after(fn: () => unknown): void };

const tenants = ['a', 'b', 'c', 'd'];

export const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Writes versions 1, 2, 3 … to all tenants, through every outage, each exactly once. */
export class Writer {
  readonly #store: ConfigStore;
  #version = 0;

  constructor(store: ConfigStore) {
    this.#store = store;
  }

  get version(): number {
    return this.#version;
  }

  async write(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.#version++;
      await Promise.all(tenants.map((tenant) => this.#one(tenant, this.#version)));
    }
  }

  async #one(tenant: string, version: number): Promise<void> {
    await until(
      async () => {
        try {
          const now = await this.#store.getHead(tenant);
          // A write that gave no answer may have been carried out.
          if (now?.head.stable.version === version) return true;
          await this.#store.putHead(tenant, testHead(version), now?.revision ?? null);
          return true;
        } catch (error) {
          if (error instanceof StoreUnavailable || error instanceof HeadConflict) return false;
          throw error;
        }
      },
      { deadline: 120_000, what: `${tenant} ${version} is written` },
    );
  }
}

/** Takes what a watch says; `seen` is each tenant's versions in order, a list's among them. */
export function watch(t: Cleanup, store: ConfigStore) {
  const stop = new AbortController();
  const events: HeadEvent[] = [];
  const seen = new Map(tenants.map((tenant) => [tenant, [] as number[]]));
  let lists = 0;
  const done = (async () => {
    for await (const event of store.watchHeads(stop.signal)) {
      events.push(event);
      if (event.type === 'list') {
        lists++;
        for (const [tenant, { stable }] of event.heads) seen.get(tenant)?.push(stable.version);
      } else if (event.type === 'put') seen.get(event.tenant)?.push(event.head.stable.version);
    }
  })();
  t.after(async () => {
    stop.abort();
    await done;
  });
  return {
    seen,
    lists: () => lists,
    reaches: (version: number) =>
      until(() => tenants.every((tenant) => seen.get(tenant)!.at(-1) === version), {
        deadline: 120_000,
        what: `the watch reaches ${version}`,
      }),
  };
}
