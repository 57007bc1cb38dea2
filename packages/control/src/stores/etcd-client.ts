/** Calls to etcd: several endpoints, a deadline for each call, a login that renews itself. */
import { setTimeout as wait } from 'node:timers/promises';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { StoreRefused, StoreUnavailable } from '../store.ts';
import {
  type LeaseKeepAliveResponse,
  type Method,
  methods,
  type WatchRequest,
  type WatchResponse,
} from './etcd-rpc.ts';

export interface EtcdClientOptions {
  /** `host:port` each. */
  endpoints: readonly string[];
  /** PEM; without `ca` the system's authorities count. */
  tls?: { ca: Buffer | undefined; cert: Buffer | undefined; key: Buffer | undefined };
  auth?: { user: string; password: string };
  /** Milliseconds for one call, all attempts together; default 3,000. */
  deadline?: number | undefined;
}

/** The asked revision was compacted away, or lies in the future of a store that went back. */
export class RevisionGone extends StoreUnavailable {}

/** The answer is larger than anything that we keep in a store: somebody else wrote there. */
export class TooLarge extends StoreUnavailable {}

/** What was asked is more than etcd takes, or nothing it knows: the same will be refused again, anything else may not. */
export class RequestRefused extends StoreUnavailable {}

/** The lease that a write was bound to is no more. */
export class LeaseGone extends StoreUnavailable {}

const channelOptions = {
  // A frozen etcd, or a network that drops everything, is noticed after 5.2 + 3 s. etcd takes pings every 5 s at most.
  'grpc.keepalive_time_ms': 5200,
  'grpc.keepalive_timeout_ms': 3000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // 32 blobs of 512 KiB, and room.
  'grpc.max_receive_message_length': 32 * 1024 * 1024,
  'grpc.max_send_message_length': 4 * 1024 * 1024,
  // What one client sees of a broken connection shall not touch another one.
  'grpc.use_local_subchannel_pool': 1,
};

/** A random time around `ms`, so that many clients do not come back at the same moment. */
export function jitter(ms: number): number {
  return ms * (0.5 + Math.random());
}

export class EtcdClient {
  readonly deadline: number;
  readonly #endpoints: readonly string[];
  readonly #credentials: ChannelCredentials;
  readonly #auth: EtcdClientOptions['auth'];
  readonly #clients: (Client | undefined)[] = [];
  #at: number;
  #token: Promise<string | null> | undefined;
  #closed = false;

  constructor({ endpoints, tls, auth, deadline = 3000 }: EtcdClientOptions) {
    this.#endpoints = endpoints;
    this.#credentials = tls
      ? credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null)
      : credentials.createInsecure();
    this.#auth = auth;
    this.deadline = deadline;
    this.#at = Math.floor(Math.random() * endpoints.length);
  }

  /**
   * One call. On a connection that fails or stays silent the next endpoint is tried, twice round at most. `again` in
   * the result: an earlier attempt may have been carried out, although it gave no answer.
   */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
  ): Promise<Response & { again: boolean }> {
    // Not the time of day, which may be set meanwhile.
    const end = performance.now() + this.deadline;
    const share = this.deadline / Math.min(3, this.#endpoints.length);
    let renewed = false;
    let fault: ServiceError | undefined;
    for (let attempt = 0; attempt < 2 * this.#endpoints.length; attempt++) {
      if (attempt > 0) await wait(jitter(attempt < this.#endpoints.length ? 5 : 50));
      const left = end - performance.now();
      if (left <= 0) break;
      const at = this.#at;
      const token = await this.#login(Math.min(left, share), at);
      try {
        const response = await this.#unary(at, method, request, token, Math.min(end - performance.now(), share));
        return Object.assign(response as object, { again: attempt > 0 }) as Response & { again: boolean };
      } catch (error) {
        fault = error as ServiceError;
        if (isStaleLogin(fault) && this.#auth && !renewed) {
          renewed = true;
          this.forgetLogin(token);
          attempt--;
          continue;
        }
        if (!mayPass(fault)) throw translate(fault);
        this.#leave(at, fault);
      }
    }
    throw translate(fault);
  }

  /** One heartbeat of a lease, on a stream of its own. */
  async keepAlive(id: string): Promise<LeaseKeepAliveResponse> {
    const at = this.#at;
    const token = await this.#login(this.deadline, at);
    const { path, encode, decode } = methods.keepAlive;
    const options = { deadline: Date.now() + this.deadline };
    const stream = this.#client(at).makeBidiStreamRequest(path, encode, decode, metadataOf(token), options);
    return new Promise((resolve, reject) => {
      stream.on('data', (response: LeaseKeepAliveResponse) => {
        resolve(response);
        stream.cancel();
      });
      stream.on('error', (error: ServiceError) => {
        if (isStaleLogin(error)) this.forgetLogin(token);
        else if (mayPass(error)) this.#leave(at, error);
        reject(translate(error));
      });
      stream.on('end', () => reject(new StoreUnavailable('etcd ended the heartbeat')));
      stream.write({ ID: id });
    });
  }

  /**
   * A watch on a connection of its own, to the endpoint with this number (any number: it is taken modulo their count).
   * `close` when done; the stream then still emits an error.
   */
  async watch(number: number): Promise<{
    stream: ClientDuplexStream<WatchRequest, WatchResponse>;
    token: string | null;
    close(): void;
  }> {
    const token = await this.#login(this.deadline, this.#at);
    const client = new Client(
      this.#endpoints[number % this.#endpoints.length]!,
      this.#credentials,
      // One channel each: two with equal options would share nothing anyway, see use_local_subchannel_pool.
      channelOptions,
    );
    const metadata = metadataOf(token);
    // A member that lost its cluster ends the stream instead of staying silent.
    metadata.set('hasleader', 'true');
    const { path, encode, decode } = methods.watch;
    const stream = client.makeBidiStreamRequest(path, encode, decode, metadata);
    return {
      stream,
      token,
      close() {
        stream.cancel();
        client.close();
      },
    };
  }

  /** Logs in anew with the next call, unless somebody did so since `token` was given out. */
  forgetLogin(token: string | null): void {
    const known = this.#token;
    void known?.then(
      (current) => {
        if (current === token && this.#token === known) this.#token = undefined;
      },
      () => {},
    );
    if (token === null) this.#token = undefined;
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client?.close();
  }

  #client(at: number): Client {
    if (this.#closed) throw new StoreUnavailable('the store is closed');
    this.#clients[at] ??= new Client(this.#endpoints[at]!, this.#credentials, channelOptions);
    return this.#clients[at];
  }

  #leave(at: number, fault: ServiceError): void {
    if (fault.code === status.DEADLINE_EXCEEDED) {
      // Its connection may lead nowhere: the next call makes a new one instead of waiting for the keepalive.
      this.#clients[at]?.close();
      this.#clients[at] = undefined;
    }
    if (this.#at === at) this.#at = (at + 1) % this.#endpoints.length;
  }

  /** The token, or null when etcd does not ask for one. */
  #login(deadline: number, at: number): Promise<string | null> {
    const auth = this.#auth;
    if (!auth) return Promise.resolve(null);
    if (this.#token) return this.#token;
    const request = { name: auth.user, password: auth.password };
    const token = this.#unary(at, methods.authenticate, request, null, deadline).then(
      (response) => response.token,
      (error: ServiceError) => {
        if (error.code === status.FAILED_PRECONDITION && /not enabled/.test(error.details)) return null;
        if (this.#token === token) this.#token = undefined;
        if (mayPass(error)) this.#leave(at, error);
        throw translate(error);
      },
    );
    this.#token = token;
    return token;
  }

  #unary<Request, Response>(
    at: number,
    { path, encode, decode }: Method<Request, Response>,
    request: Request,
    token: string | null,
    deadline: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadline };
      this.#client(at).makeUnaryRequest(path, encode, decode, request, metadataOf(token), options, (error, response) =>
        error ? reject(error) : resolve(response!),
      );
    });
  }
}

function metadataOf(token: string | null): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set('token', token);
  return metadata;
}

/** etcd has no code of its own for some of these (rpctypes/error.go), so the text has to tell. */
export function isStaleLogin(error: { code?: number; details?: string }): boolean {
  if (error.code === status.UNAUTHENTICATED) return true;
  return /invalid auth token|user name is empty|revision of auth store is old/.test(error.details ?? '');
}

/** grpc-js: "Received message larger than max". etcd uses the same code for other things. */
export function isTooLarge(error: { code?: number; details?: string }): boolean {
  return error.code === status.RESOURCE_EXHAUSTED && /larger than/.test(error.details ?? '');
}

/** Another endpoint, or the same one later, may answer. */
function mayPass({ code }: ServiceError): boolean {
  return (
    code === status.UNAVAILABLE ||
    code === status.DEADLINE_EXCEEDED ||
    code === status.INTERNAL ||
    code === status.CANCELLED ||
    code === status.UNKNOWN
  );
}

function translate(error: ServiceError | undefined): Error {
  if (error === undefined) return new StoreUnavailable('etcd: no answer in time');
  if (error instanceof StoreUnavailable) return error;
  const text = `etcd: ${error.details ?? error.message}`;
  if (error.code === status.OUT_OF_RANGE) return new RevisionGone(text, { cause: error });
  if (error.code === status.NOT_FOUND && /lease/.test(text)) return new LeaseGone(text, { cause: error });
  if (isTooLarge(error)) return new TooLarge(text, { cause: error });
  const refused =
    error.code === status.PERMISSION_DENIED ||
    isStaleLogin(error) ||
    (error.code === status.INVALID_ARGUMENT && /authentication failed/.test(text));
  if (refused) return new StoreRefused(text, { cause: error });
  if (error.code === status.INVALID_ARGUMENT) return new RequestRefused(text, { cause: error });
  return new StoreUnavailable(text, { cause: error });
}
