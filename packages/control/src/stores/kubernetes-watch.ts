/**
 * All heads, then every change. Nothing gets lost and nothing comes twice because a watch goes on behind the
 * resourceVersion of the last event (or bookmark) that was handed on, and nothing else moves it.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { readHead } from '../codec.ts';
import { PageSize } from '../page-size.ts';
import { Queue } from '../queue.ts';
import type { Head } from '../release.ts';
import { type HeadEvent, StoreRefused, StoreUnavailable } from '../store.ts';
import { slices } from '../turns.ts';
import { AnswerTooLarge, jitter, type KubernetesClient, VersionGone } from './kubernetes-client.ts';
import { AnyObject, ConfigMap, tenantOf } from './kubernetes-names.ts';

/** Heads in one answer of a list. */
const PAGE = 500;
/** Bytes of one: of usual heads it has half a MiB, of a few that are as large as a ConfigMap may be several. */
const MOST_PAGE = 8 * 1024 * 1024;
/** Milliseconds between two attempts, first and longest. */
const BACKOFF = { first: 50, most: 2000 };
/** Seconds after which the server ends a watch in order, so that watchers spread anew over its replicas. */
const WATCH = { least: 240, most: 360 };
/** Milliseconds of silence after which a watcher asks whether the server still answers. */
const SILENCE = 5_000;

export const HEADS = 'arcus/kind=head';

const WatchEvent = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown(),
});
const Version = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const Status = z.object({ code: z.number().optional() });

/** The head in a ConfigMap, or why there is none. */
export function headOf(map: ConfigMap, tenant: string): { head: Head } | { reason: string } {
  return readHead(map.data?.head ?? '', tenant);
}

/** `path` is that of the ConfigMaps; `ping` tells whether the server answers. */
export function watchHeads(
  client: KubernetesClient,
  path: string,
  ping: () => Promise<void>,
  signal: AbortSignal,
): AsyncIterable<HeadEvent> {
  const queue = new Queue<HeadEvent>(signal);
  void new Watcher(client, path, ping, queue, signal).run();
  return queue;
}

class Watcher {
  readonly #client: KubernetesClient;
  readonly #path: string;
  readonly #ping: () => Promise<void>;
  readonly #queue: Queue<HeadEvent>;
  readonly #signal: AbortSignal;
  readonly #pages = new PageSize(PAGE, PAGE);
  /** Behind this the next watch goes on; null: list first. */
  #seen: string | null = null;
  /** What the store held at #seen, by name, to find out whether it still has the same past. */
  readonly #held = new Map<string, { uid: string; resourceVersion: string }>();
  #backoff = BACKOFF.first;

  constructor(
    client: KubernetesClient,
    path: string,
    ping: () => Promise<void>,
    queue: Queue<HeadEvent>,
    signal: AbortSignal,
  ) {
    this.#client = client;
    this.#path = path;
    this.#ping = ping;
    this.#queue = queue;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        if (this.#seen !== null && !(await this.#samePast(this.#seen))) this.#seen = null;
        if (this.#signal.aborted) return;
        await this.#follow(this.#seen ?? (await this.#list()));
      } catch (error) {
        // Away, or refused: the same again, later. Who needs to know asks `ping`.
        if (error instanceof VersionGone) this.#seen = null;
      }
      if (this.#signal.aborted) return;
      await wait(jitter(this.#backoff), undefined, { signal: this.#signal, ref: false }).catch(() => {});
      this.#backoff = Math.min(BACKOFF.most, this.#backoff * 2);
    }
  }

  /**
   * Whether the store went on from where we stand. A cluster that was restored from a backup, or made anew, has another
   * past, even when it counts further than we had come; a watch there would be silent, or skip what differs.
   */
  async #samePast(seen: string): Promise<boolean> {
    let name: string | undefined;
    let newest: { uid: string; resourceVersion: string } | undefined;
    for (const [each, held] of this.#held) {
      if (newest && Number(held.resourceVersion) <= Number(newest.resourceVersion)) continue;
      name = each;
      newest = held;
    }
    const query = {
      labelSelector: HEADS,
      fieldSelector: name && `metadata.name=${name}`,
      resourceVersion: seen,
      resourceVersionMatch: 'Exact',
      limit: 1,
    };
    try {
      const { items } = await this.#client.page(this.#path, AnyObject, query, { only: 'list of metadata' });
      const found = items[0]?.metadata;
      return found?.uid === newest?.uid && found?.resourceVersion === newest?.resourceVersion;
    } catch (error) {
      // A moment that is still to come has no code of its own.
      if (
        error instanceof VersionGone ||
        /future revision|too large resource version/i.test((error as Error).message)
      ) {
        return false;
      }
      throw error;
    }
  }

  async #list(): Promise<string> {
    const heads = new Map<string, Head>();
    const invalid = new Map<string, string>();
    this.#held.clear();
    this.#pages.restart();
    const breathe = slices();
    let resourceVersion = '';
    // Page by page: what was read of one is let go of before the next one comes.
    for (let from: string | undefined, more = true; more; more = from !== undefined) {
      const page = await this.#page(from);
      ({ resourceVersion, next: from } = page);
      for (const map of page.items) {
        await breathe();
        const tenant = this.#hold(map);
        if (tenant === null) continue;
        const result = page.large ? readHead(null, tenant) : headOf(map, tenant);
        if ('head' in result) heads.set(tenant, result.head);
        else invalid.set(tenant, result.reason);
      }
    }
    this.#seen = resourceVersion;
    this.#queue.push({ type: 'list', heads, invalid });
    return resourceVersion;
  }

  /**
   * The page behind `from`. One that does not come is asked for again, smaller: a `continue` token names a moment and a
   * place, so that the limit may be another one. `large`: a single ConfigMap, without its content.
   */
  async #page(from: string | undefined) {
    for (;;) {
      const query = { labelSelector: HEADS, limit: this.#pages.limit, continue: from };
      try {
        const page = await this.#client.page(this.#path, ConfigMap, query, { most: MOST_PAGE });
        this.#pages.came(page.bytes);
        return { ...page, large: false };
      } catch (error) {
        const final =
          !(error instanceof StoreUnavailable) || error instanceof VersionGone || error instanceof StoreRefused;
        if (final) throw error;
        const smaller = this.#pages.failed();
        if (error instanceof AnswerTooLarge) {
          if (smaller) continue;
          const { items, ...page } = await this.#client.page(this.#path, AnyObject, query, {
            only: 'list of metadata',
          });
          return { ...page, items: items.map((item): ConfigMap => item), large: true };
        }
        // The first one: more likely the server is away.
        if (!smaller || from === undefined) throw error;
      }
    }
  }

  /** Resolves when the stream is over, for whatever reason; throws when there was none. */
  async #follow(from: string): Promise<void> {
    const seconds = Math.round(WATCH.least + Math.random() * (WATCH.most - WATCH.least));
    const response = await this.#client.stream(this.#path, {
      labelSelector: HEADS,
      watch: 'true',
      resourceVersion: from,
      allowWatchBookmarks: 'true',
      timeoutSeconds: seconds,
    });
    await new Promise<void>((resolve) => {
      let heard = performance.now();
      const over = () => {
        clearInterval(probe);
        clearTimeout(late);
        this.#signal.removeEventListener('abort', over);
        // Nothing that still comes counts: the next stream starts at #seen.
        response.removeAllListeners('data');
        response.destroy();
        resolve();
      };
      // A server that is frozen, or a network that swallows everything, looks like one where nothing happens.
      const probe = setInterval(() => {
        if (performance.now() - heard >= SILENCE) this.#ping().catch(over);
        else this.#backoff = BACKOFF.first;
      }, SILENCE);
      const late = setTimeout(over, (seconds + 10) * 1000);
      probe.unref();
      late.unref();
      let pieces: Buffer[] = [];
      response.on('data', (chunk: Buffer) => {
        heard = performance.now();
        let start = 0;
        for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
          pieces.push(chunk.subarray(start, end));
          start = end + 1;
          const line = Buffer.concat(pieces);
          pieces = [];
          // What makes no sense, or says that it goes on no further, ends this stream.
          if (line.length > 0 && !this.#take(line)) return over();
        }
        if (start < chunk.length) pieces.push(chunk.subarray(start));
      });
      response.on('error', over);
      response.on('close', over);
      this.#signal.addEventListener('abort', over, { once: true });
      if (this.#signal.aborted) over();
    });
  }

  #take(line: Buffer): boolean {
    let event: z.output<typeof WatchEvent>;
    try {
      event = WatchEvent.parse(JSON.parse(line.toString('utf8')));
      if (event.type === 'ERROR') {
        if (Status.parse(event.object).code === 410) this.#seen = null;
        return false;
      }
      if (event.type === 'BOOKMARK') this.#seen = Version.parse(event.object).metadata.resourceVersion;
      else this.#hand(event.type, ConfigMap.parse(event.object));
    } catch {
      return false;
    }
    this.#backoff = BACKOFF.first;
    return true;
  }

  #hand(type: 'ADDED' | 'MODIFIED' | 'DELETED', map: ConfigMap): void {
    const { name, resourceVersion } = map.metadata;
    this.#seen = resourceVersion;
    if (type === 'DELETED') {
      const tenant = tenantOf(name);
      this.#held.delete(name);
      if (tenant !== null) this.#queue.push({ type: 'delete', tenant });
      return;
    }
    const tenant = this.#hold(map);
    if (tenant === null) return;
    const result = headOf(map, tenant);
    this.#queue.push('head' in result ? { type: 'put', tenant, ...result } : { type: 'invalid', tenant, ...result });
  }

  /** The tenant, or null when somebody labelled what is no head of ours. */
  #hold({ metadata: { name, uid, resourceVersion } }: ConfigMap): string | null {
    this.#held.set(name, { uid, resourceVersion });
    return tenantOf(name);
  }
}
