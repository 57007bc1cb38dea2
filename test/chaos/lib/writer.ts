/** Writes on and on, and remembers what was accepted. */
import { setTimeout as wait } from 'node:timers/promises';
import { ApiError, ask, path } from '@arcus/cli/client.ts';
import type { Connection } from '@arcus/cli/connection.ts';
import { configOf, type Place } from './config.ts';

export interface Accepted {
  readonly tenant: string;
  readonly version: number;
  /** Number of the write; a rollback's is that of the release it brings back. */
  readonly n: number;
}

export class Writer {
  readonly accepted: Accepted[] = [];
  /** Asked for, and no answer came, or one that the service could not do it: it may have happened or not. */
  readonly unknown: { tenant: string; n: number; why: string }[] = [];
  /** Refused for a reason that should not be. */
  readonly refused: string[] = [];
  rollbacks = 0;
  readonly #api: Connection;
  readonly #places: readonly Place[];
  readonly #n = new Map<string, number>();
  readonly #turn = new Map<string, number>();
  #running: Promise<unknown> | null = null;
  #stopped = false;

  constructor(api: Connection, places: readonly Place[]) {
    this.#api = api;
    this.#places = places;
  }

  /** Writes all tenants until `stop`, each about every `pauseMs`. */
  start(pauseMs: number): void {
    this.#stopped = false;
    const loop = async (place: Place) => {
      while (!this.#stopped) {
        await this.write(place);
        await wait(pauseMs * (0.5 + Math.random()));
      }
    };
    this.#running ??= Promise.all(this.#places.map(loop));
  }

  /** Resolves when the last write was answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#running = null;
  }

  async create(place: Place): Promise<void> {
    const n = this.#next(place.tenant);
    const { tenant } = place;
    const body = { tenant_id: tenant, tenant_name: tenant, config: configOf(place, n) };
    const query = `?wait=acked&message=${n}`;
    const answer = await ask(this.#api, `/tenants${query}`, { method: 'POST', body: JSON.stringify(body) });
    this.accepted.push({ tenant, n, version: Number(answer.headers.get('arcus-release')) });
  }

  /** One write; every eighth goes back to an earlier release. Answers whether it was accepted. */
  async write(place: Place, query: { wait?: boolean } = {}): Promise<boolean> {
    const { tenant } = place;
    const turn = (this.#turn.get(tenant) ?? 0) + 1;
    this.#turn.set(tenant, turn);
    const mine = this.accepted.filter((one) => one.tenant === tenant);
    const back = turn % 8 === 0 ? mine[Math.max(0, mine.length - 3)] : undefined;
    const n = back?.n ?? this.#next(tenant);
    // Who waits for workers is told by them, and not by the time.
    const wanted = query.wait ? '&wait=acked&timeout=2m' : '';
    const timeout = query.wait ? 150_000 : 15_000;
    try {
      const answer = back
        ? await ask(this.#api, `${path('tenants', tenant)}/rollback?${wanted.slice(1)}`, {
            ...{ method: 'POST', timeout },
            body: JSON.stringify({ version: back.version, message: `${n}` }),
          })
        : await ask(this.#api, `${path('tenants', tenant)}/config?message=${n}${wanted}`, {
            ...{ method: 'PUT', timeout, headers: { 'if-match': '*' } },
            body: JSON.stringify(configOf(place, n)),
          });
      this.accepted.push({ tenant, n, version: Number(answer.headers.get('arcus-release')) });
      if (back) this.rollbacks++;
      return true;
    } catch (error) {
      const why = (error as Error).message;
      // 409 with wait=acked: stored, and a worker refused it or is silent.
      if (error instanceof ApiError && error.status < 500 && !query.wait) this.refused.push(`${tenant} ${n}: ${why}`);
      else this.unknown.push({ tenant, n, why });
      return false;
    }
  }

  #next(tenant: string): number {
    const n = (this.#n.get(tenant) ?? 0) + 1;
    this.#n.set(tenant, n);
    return n;
  }
}
