/** Notes in the database which releases are out: all that come while one statement runs share the next. */
import { type Db, Prisma } from '../../db/open.ts';

/** Releases in one statement. */
const MOST = 50;

export class PublishedMarks {
  readonly #db: Db;
  readonly #now: () => number;
  #waiting: { tenant_id: string; version: number }[] = [];
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor({ db, now }: { db: Db; now: () => number }) {
    this.#db = db;
    this.#now = now;
  }

  /** The release is out, if it was pending. */
  mark(tenant_id: string, version: number): Promise<void> {
    this.#waiting.push({ tenant_id, version });
    this.#next ??= this.#running.then(() => {
      const batch = this.#waiting;
      this.#waiting = [];
      this.#next = null;
      const running = this.#write(batch);
      this.#running = running.catch(() => {});
      return running;
    });
    return this.#next;
  }

  async #write(batch: readonly { tenant_id: string; version: number }[]): Promise<void> {
    for (let from = 0; from < batch.length; from += MOST) {
      const these = batch
        .slice(from, from + MOST)
        .map(({ tenant_id, version }) => Prisma.sql`(tenant_id = ${tenant_id} AND version = ${version})`);
      await this.#db.execute(Prisma.sql`UPDATE releases SET state = 'published', published_at = ${new Date(this.#now())}
        WHERE state = 'pending' AND (${Prisma.join(these, ' OR ')})`);
    }
  }
}
