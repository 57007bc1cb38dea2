/**
 * Calls to a Kubernetes API server, over Node's own HTTP client: keep-alive, a deadline for each call, a token that is
 * read again when it is rotated, and the server's clock.
 */
import { readFile } from 'node:fs/promises';
import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { StoreRefused, StoreUnavailable } from '../store.ts';

export interface KubernetesClientOptions {
  /** `https://host:port`, or `http://…` without a token. */
  url: string;
  tokenFile?: string | undefined;
  /** PEM files; without `caFile` the system's authorities count. */
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
  /** Milliseconds for one call, all attempts together; default 3,000. */
  deadline?: number | undefined;
}

export interface Answer {
  /** A 2xx, or 404, 409, 410: everything else is thrown. */
  status: number;
  body: unknown;
  /** Length of the body. */
  bytes: number;
  /** An earlier attempt gave no answer and may have been carried out. */
  again: boolean;
}

export interface CallOptions {
  query?: Readonly<Record<string, string | number | undefined>>;
  body?: object;
  /** Asks for metadata only, of the object or of each in the list: a blob's is 1 KB, the blob may be 700. */
  only?: 'metadata' | 'list of metadata' | undefined;
  /** Something large goes or comes: it may take five times the deadline, as long as it moves. */
  large?: boolean;
  /** Bytes of the answer; a longer one is AnswerTooLarge. */
  most?: number | undefined;
}

interface Identity {
  agent: HttpAgent | HttpsAgent;
  /** For connections without the agent. */
  tls: { ca: Buffer | undefined; cert: Buffer | undefined; key: Buffer | undefined } | undefined;
  authorization: string | undefined;
}

/** Milliseconds after which files are read again; the kubelet renews a token long before it ends. */
const REREAD = 10_000;
/** Milliseconds of silence on an open connection until the kernel asks whether somebody is there. */
const KEEPALIVE = 5_000;
const ACCEPT = {
  metadata: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
  'list of metadata': 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
};
const ATTEMPTS = 3;

const Page = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(z.unknown()),
});

/** A random time around `ms`, so that many clients do not come back at the same moment. */
export function jitter(ms: number): number {
  return ms * (0.5 + Math.random());
}

/** The asked resourceVersion is too old, or of a past that this server does not have. */
export class VersionGone extends StoreUnavailable {}

/** More than was to be taken into memory at once. */
export class AnswerTooLarge extends StoreUnavailable {}

export class KubernetesClient {
  readonly deadline: number;
  readonly #options: KubernetesClientOptions;
  readonly #secure: boolean;
  #identity: { value: Promise<Identity>; read: number } | undefined;
  #files = '';
  #agent: HttpAgent | HttpsAgent | undefined;
  /** Server time minus our monotonic clock lies between these. */
  #clock: { low: number; high: number } | undefined;
  #closed = false;

  constructor(options: KubernetesClientOptions) {
    this.#options = options;
    this.#secure = options.url.startsWith('https:');
    this.deadline = options.deadline ?? 3000;
  }

  /** One call; what gets no answer, or "later", is tried again within the deadline. */
  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const end = performance.now() + this.deadline * (options.large ? 5 : 1);
    let renewed = false;
    let again = false;
    let fault: Error = new StoreUnavailable('kubernetes: no answer in time');
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const left = end - performance.now();
      if (left <= 0) break;
      // One attempt that stays silent must leave time for another one on a new connection.
      const silence = attempt + 1 < ATTEMPTS ? Math.min(left, this.deadline / 2) : left;
      let status: number;
      let retryAfter: number;
      let body: unknown;
      let bytes: number;
      try {
        const response = await this.#send(method, path, options, { silence, total: options.large ? left : silence });
        status = response.statusCode!;
        retryAfter = Number(response.headers['retry-after']) * 1000;
        const text = await bodyOf(response, options.most);
        bytes = text.length;
        body = text === '' ? null : JSON.parse(text);
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        fault = unavailable(error);
        again = true;
        await wait(Math.min(jitter(20 * (attempt + 1)), Math.max(0, end - performance.now())));
        continue;
      }
      if ((status >= 200 && status < 300) || status === 404 || status === 409 || status === 410) {
        return { status, body, bytes, again };
      }
      fault = faultOf(status, body);
      if (status === 401 && !renewed) {
        renewed = true;
        this.#identity = undefined;
        attempt--;
        continue;
      }
      if (status !== 429 && status < 500) throw fault;
      // A 5xx may come from something between that gave up waiting for an answer.
      if (status >= 500) again = true;
      const pause = Number.isFinite(retryAfter) ? retryAfter : jitter(50 * (attempt + 1));
      if (performance.now() + pause >= end) break;
      await wait(pause);
    }
    throw fault;
  }

  /** All objects of a collection as they were at one moment, in one answer: a server may take them from its memory. */
  async list<T extends z.ZodType>(
    path: string,
    item: T,
    query: CallOptions['query'],
  ): Promise<{ resourceVersion: string; items: z.output<T>[] }> {
    const items: z.output<T>[] = [];
    let from: string | undefined;
    for (;;) {
      const page = await this.page(path, item, { ...query, continue: from });
      for (const each of page.items) items.push(each);
      from = page.next;
      if (from === undefined) return { resourceVersion: page.resourceVersion, items };
    }
  }

  /** One answer of a list. Throws VersionGone when its moment is gone. */
  async page<T extends z.ZodType>(
    path: string,
    item: T,
    query: CallOptions['query'],
    options: Pick<CallOptions, 'only' | 'most'> = {},
  ): Promise<{ resourceVersion: string; items: z.output<T>[]; next: string | undefined; bytes: number }> {
    const { status, body, bytes } = await this.call('GET', path, { query, ...options });
    if (status === 410) throw new VersionGone(messageOf(body));
    if (status !== 200) throw faultOf(status, body);
    const { metadata, items } = parse(Page, body, path);
    return {
      resourceVersion: metadata.resourceVersion,
      items: items.map((each) => parse(item, each, path)),
      next: metadata.continue || undefined,
      bytes,
    };
  }

  /** An answer that goes on, on a connection of its own. Whoever asks ends it by `destroy`. */
  async stream(path: string, query: CallOptions['query']): Promise<IncomingMessage> {
    const response = await this.#send('GET', path, { query: query ?? {} }, { silence: 0, total: this.deadline }, true);
    if (response.statusCode === 200) return response;
    try {
      const text = await bodyOf(response);
      const body: unknown = text.startsWith('{') ? JSON.parse(text) : null;
      if (response.statusCode === 401) this.#identity = undefined;
      if (response.statusCode === 410) throw new VersionGone(messageOf(body));
      throw faultOf(response.statusCode!, body);
    } finally {
      response.destroy();
    }
  }

  /**
   * The server's time, in ms since 1970, from the Date headers of its answers: what one pod writes and another one
   * judges does not depend on either's clock. Whole seconds at first, closer with each answer.
   */
  async now(ask: () => Promise<unknown>): Promise<number> {
    if (!this.#clock) await ask();
    const { low, high } = this.#clock ?? { low: Date.now() - performance.now(), high: Date.now() - performance.now() };
    return performance.now() + (low + high) / 2;
  }

  close(): void {
    this.#closed = true;
    this.#agent?.destroy();
  }

  async #send(
    method: string,
    path: string,
    { query = {}, body, only }: CallOptions,
    limits: { silence: number; total: number },
    alone = false,
  ): Promise<IncomingMessage> {
    if (this.#closed) throw new StoreUnavailable('the store is closed');
    const identity = await this.#who();
    const url = new URL(path, this.#options.url);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const bytes = body && Buffer.from(JSON.stringify(body));
    const sent = performance.now();
    return new Promise((resolve, reject) => {
      const request: ClientRequest = (this.#secure ? requestHttps : requestHttp)(url, {
        method,
        agent: alone ? false : identity.agent,
        ...(alone && identity.tls),
        headers: {
          accept: only ? ACCEPT[only] : 'application/json',
          'user-agent': 'arcus',
          ...(identity.authorization && { authorization: identity.authorization }),
          ...(bytes && { 'content-type': 'application/json', 'content-length': bytes.byteLength }),
        },
      });
      // For the whole answer, unless it is one that goes on.
      const late = () => request.destroy(new Error('no answer in time'));
      const timer = setTimeout(late, limits.total);
      if (limits.silence > 0) request.setTimeout(limits.silence, late);
      request.on('socket', (socket) => socket.setKeepAlive(true, KEEPALIVE));
      request.on('close', () => clearTimeout(timer));
      request.on('error', reject);
      request.on('response', (response) => {
        if (alone) clearTimeout(timer);
        this.#hearClock(response.headers.date, sent);
        resolve(response);
      });
      request.end(bytes);
    });
  }

  /** Says who we are, from files that others renew. */
  #who(): Promise<Identity> {
    const now = performance.now();
    if (this.#identity && now - this.#identity.read < REREAD) return this.#identity.value;
    const value = this.#readIdentity();
    this.#identity = { value, read: now };
    value.catch(() => {
      if (this.#identity?.value === value) this.#identity = undefined;
    });
    return value;
  }

  async #readIdentity(): Promise<Identity> {
    const { tokenFile, caFile, certFile, keyFile } = this.#options;
    const read = async (file: string | undefined) => {
      try {
        return file === undefined ? undefined : await readFile(file);
      } catch (error) {
        throw new StoreUnavailable(`kubernetes: ${(error as Error).message}`, { cause: error });
      }
    };
    const [token, ca, cert, key] = await Promise.all([tokenFile, caFile, certFile, keyFile].map(read));
    const files = [ca, cert, key].map((file) => file?.toString('base64')).join();
    if (!this.#agent || files !== this.#files) {
      const old = this.#agent;
      const common = { keepAlive: true, maxSockets: 32, scheduling: 'lifo' } as const;
      this.#agent = this.#secure ? new HttpsAgent({ ...common, ca, cert, key }) : new HttpAgent(common);
      this.#files = files;
      // What is under way there may end.
      if (old) setTimeout(() => old.destroy(), this.deadline).unref();
    }
    const authorization = token && `Bearer ${token.toString('utf8').trim()}`;
    return { agent: this.#agent, tls: this.#secure ? { ca, cert, key } : undefined, authorization };
  }

  #hearClock(date: string | undefined, sent: number): void {
    const second = Date.parse(date ?? '');
    if (Number.isNaN(second)) return;
    // Written at `second` or up to a second later, after we asked and before now.
    const low = second - performance.now();
    const high = second + 1000 - sent;
    const known = this.#clock;
    const both = known && { low: Math.max(known.low, low), high: Math.min(known.high, high) };
    // No overlap: the server's clock was set, or this is another server.
    this.#clock = both && both.low <= both.high ? both : { low, high };
  }
}

async function bodyOf(response: IncomingMessage, most = Number.POSITIVE_INFINITY): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    // Leaving the loop ends the answer.
    if (bytes > most) throw new AnswerTooLarge(`kubernetes: the answer is larger than ${most} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parse<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  // Not the store's content, but its server (or what answers in its place) is to blame.
  throw new StoreUnavailable(`kubernetes: answer to ${where}: ${issue?.path.join('.')}: ${issue?.message}`);
}

function messageOf(body: unknown): string {
  const message = (body as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? `kubernetes: ${message}` : 'kubernetes: no reason given';
}

export function faultOf(status: number, body: unknown): StoreUnavailable {
  const text = `${messageOf(body)} (${status})`;
  return status === 401 || status === 403 ? new StoreRefused(text) : new StoreUnavailable(text);
}

function unavailable(error: unknown): StoreUnavailable {
  return new StoreUnavailable(`kubernetes: ${(error as Error).message || (error as NodeJS.ErrnoException).code}`, {
    cause: error,
  });
}
