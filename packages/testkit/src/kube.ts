/**
 * The few paths of the Kubernetes API that Arcus uses, played by a server inside the test's process: ConfigMaps and
 * Leases with resourceVersion, list by pages, watch with bookmarks, 409, 410. It is no Kubernetes: whatever it was not
 * made for it refuses, so that a new use shows. https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createCa, type ThrowAwayCa } from './ca.ts';
import { KubeFault, type KubeObject, KubeStorage, kinds } from './kube-storage.ts';
import { freePort } from './port.ts';

/** Who asked for what, in the words of RBAC. */
export interface KubeCall {
  user: string;
  verb: string;
  /** `configmaps`, or `leases.coordination.k8s.io`. */
  resource: string;
  namespace: string;
  name: string | null;
}

export interface KubeOptions {
  /** TLS and bearer tokens: token -> user. Without it everybody is `anonymous` and may do everything. */
  tokens?: Map<string, string>;
  /** Decides on every call; default: yes. */
  allow?: (call: KubeCall) => boolean;
  /** Milliseconds between bookmarks; default 200. */
  bookmarks?: number;
  /** Says that a watch's version is gone as the answer's status, or as an event; default: event. */
  goneAs?: 'status' | 'event';
  /** Bytes: a longer answer stays away, as over a line that is too slow for it. */
  most?: number;
}

export interface KubeServer {
  readonly port: number;
  /** `http://127.0.0.1:port` or `https://` */
  readonly url: string;
  /** Set with `tokens`. */
  readonly ca?: ThrowAwayCa;
  readonly storage: KubeStorage;
  /** All calls so far. */
  readonly calls: KubeCall[];
  /** Watches open now. */
  readonly watches: number;
  /** Milliseconds that its clock is ahead. */
  clock: number;
  /** Answers to the next calls that fit: a status and its reason, or 'cut' after it was carried out. */
  fail(times: number, how: { status: number; retryAfter?: number } | 'cut', verb?: string): void;
  /** Ends all watches, as a server does now and then. */
  endWatches(): void;
  /** Closes all connections and takes no new ones until `start`. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Accepts, reads, and says nothing any more, until `thaw`. */
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

const known = new Set([
  'labelSelector',
  'fieldSelector',
  'resourceVersion',
  'resourceVersionMatch',
  'limit',
  'continue',
  'watch',
  'allowWatchBookmarks',
  'timeoutSeconds',
]);

const PATH =
  /^(\/api\/v1|\/apis\/coordination\.k8s\.io\/v1)\/namespaces\/([a-z0-9-]+)\/(configmaps|leases)(?:\/([a-z0-9.-]+))?$/;

export async function startKube(options: KubeOptions = {}): Promise<KubeServer> {
  const { tokens, allow = () => true, bookmarks = 200, goneAs = 'event', most = Number.POSITIVE_INFINITY } = options;
  const storage = new KubeStorage();
  const port = await freePort();
  const ca = tokens && (await createCa('kube test CA'));
  const leaf = await ca?.issue(['127.0.0.1']);
  const calls: KubeCall[] = [];
  const watches = new Set<ServerResponse>();
  let planned:
    | { times: number; how: { status: number; retryAfter?: number } | 'cut'; verb: string | undefined }
    | undefined;
  let frozen = false;
  let waiting: (() => void)[] = [];
  let server: Server | undefined;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url!, 'http://kube');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (frozen) await new Promise<void>((resolve) => waiting.push(resolve));
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : undefined;
    response.setHeader('date', new Date(Date.now() + self.clock).toUTCString());
    const user = tokens
      ? tokens.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '')
      : 'anonymous';
    if (user === undefined) throw new KubeFault(401, 'Unauthorized', 'Unauthorized');
    const [, base, namespace, resource, name = null] = PATH.exec(url.pathname) ?? [];
    if (!namespace || !resource || kinds[resource]?.base !== base) {
      throw new KubeFault(404, 'NotFound', `the server could not find ${url.pathname}`);
    }
    for (const key of url.searchParams.keys()) {
      if (!known.has(key)) throw new KubeFault(400, 'BadRequest', `this server was not made for ${key}`);
    }
    const watching = url.searchParams.get('watch') === 'true';
    const verb = verbOf(request.method!, name, watching);
    const group = resource === 'leases' ? 'leases.coordination.k8s.io' : resource;
    const call: KubeCall = { user, verb, resource: group, namespace, name: name ?? body?.metadata?.name ?? null };
    calls.push(call);
    if (!allow(call)) {
      throw new KubeFault(403, 'Forbidden', `${resource} is forbidden: User "${user}" cannot ${verb} ${group}`);
    }
    const fault = planned && (planned.verb ?? verb) === verb ? planned : undefined;
    if (fault && --fault.times === 0) planned = undefined;
    if (fault && fault.how !== 'cut') {
      if (fault.how.retryAfter !== undefined) response.setHeader('retry-after', fault.how.retryAfter);
      throw new KubeFault(fault.how.status, 'Planned', 'planned by the test');
    }
    if (watching) return watch(url, resource, namespace, response);
    const [status, result] = perform(verb, url, resource, namespace, name, body);
    if (fault) return void request.socket.resetAndDestroy();
    send(response, status, only(request, verb === 'list', result), most);
  };

  const perform = (
    verb: string,
    url: URL,
    resource: string,
    namespace: string,
    name: string | null,
    body: any,
  ): [number, object] => {
    switch (verb) {
      case 'create':
        return [201, storage.create(resource, namespace, body)];
      case 'update':
        return [200, storage.replace(resource, namespace, name!, body)];
      case 'delete':
        return [
          200,
          {
            kind: 'Status',
            status: 'Success',
            uid: storage.remove(resource, namespace, name!, body?.preconditions).metadata.uid,
          },
        ];
      case 'get': {
        const object = storage.get(resource, namespace, name!);
        if (!object) throw new KubeFault(404, 'NotFound', `${resource} "${name}" not found`);
        return [200, object];
      }
      default:
        return [200, list(url, resource, namespace)];
    }
  };

  const list = (url: URL, resource: string, namespace: string): object => {
    const query = url.searchParams;
    const limit = Number(query.get('limit') ?? 0);
    const token = query.get('continue');
    const exact = query.get('resourceVersionMatch');
    if (exact !== null && exact !== 'Exact') throw new KubeFault(400, 'BadRequest', 'this server knows Exact only');
    if ((exact === null) !== (query.get('resourceVersion') === null) || (exact !== null && token !== null)) {
      throw new KubeFault(400, 'BadRequest', 'resourceVersion and resourceVersionMatch do not fit');
    }
    const from = token ? JSON.parse(Buffer.from(token, 'base64url').toString()) : null;
    const revision: number = from?.revision ?? (exact ? Number(query.get('resourceVersion')) : storage.revision);
    const fits = selector(query);
    const all = storage
      .list(resource, namespace, revision)
      .filter((each) => fits(each) && (!from || each.metadata.name > from.after));
    const items = limit > 0 ? all.slice(0, limit) : all;
    const more = items.length < all.length;
    const next = { revision, after: items.at(-1)?.metadata.name };
    const metadata = {
      resourceVersion: String(revision),
      ...(more && { continue: Buffer.from(JSON.stringify(next)).toString('base64url') }),
    };
    const { apiVersion, kind } = kinds[resource]!;
    // Items of a list do not repeat what they are.
    return {
      apiVersion,
      kind: `${kind}List`,
      metadata,
      items: items.map(({ apiVersion: _, kind: __, ...rest }) => rest),
    };
  };

  const watch = (url: URL, resource: string, namespace: string, response: ServerResponse): void => {
    const query = url.searchParams;
    const fits = selector(query);
    const seconds = Number(query.get('timeoutSeconds'));
    const say = (type: string, object: object) => response.write(`${JSON.stringify({ type, object })}\n`);
    const open = () => {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    };
    let stop: () => void;
    try {
      stop = storage.watch(Number(query.get('resourceVersion')), (event) => {
        if (event.resource !== resource || event.namespace !== namespace || frozen) return;
        open();
        const had = event.before !== null && fits(event.before);
        const has = event.after !== null && fits(event.after);
        if (has) say(had ? 'MODIFIED' : 'ADDED', event.after!);
        // With the version of its removal, or of the change that took its label.
        else if (had) say('DELETED', withVersion(event.before!, event.revision));
      });
    } catch (error) {
      if (!(error instanceof KubeFault) || goneAs === 'status') throw error;
      open();
      say('ERROR', statusOf(error));
      response.end();
      return;
    }
    open();
    watches.add(response);
    const { apiVersion, kind } = kinds[resource]!;
    const bookmark = () =>
      frozen ||
      say('BOOKMARK', {
        apiVersion,
        kind,
        metadata: { resourceVersion: String(storage.revision), creationTimestamp: null },
      });
    const timer = query.get('allowWatchBookmarks') === 'true' ? setInterval(bookmark, bookmarks) : undefined;
    const end = setTimeout(() => response.end(), seconds * 1000);
    response.on('close', () => {
      stop();
      clearInterval(timer);
      clearTimeout(end);
      watches.delete(response);
    });
  };

  const handle = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) return response.destroy();
      const fault = error instanceof KubeFault ? error : new KubeFault(500, 'InternalError', String(error));
      send(response, fault.code, statusOf(fault));
    });
  };

  const self: KubeServer = {
    port,
    url: `${ca ? 'https' : 'http'}://127.0.0.1:${port}`,
    ...(ca && { ca }),
    storage,
    calls,
    get watches() {
      return watches.size;
    },
    clock: 0,
    fail(times, how, verb) {
      planned = { times, how, verb };
    },
    endWatches() {
      for (const response of watches) response.end();
    },
    async stop() {
      const closing = server;
      server = undefined;
      if (!closing) return;
      const closed = new Promise((resolve) => closing.close(resolve));
      closing.closeAllConnections();
      await closed;
    },
    start: () =>
      new Promise((resolve, reject) => {
        server = leaf ? createTlsServer({ cert: leaf.cert, key: leaf.key }, handle) : createServer(handle);
        server.once('error', reject);
        server.listen(port, '127.0.0.1', resolve);
      }),
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      for (const go of waiting.splice(0)) go();
      // What happened meanwhile was said to nobody: these watches are not good any more.
      for (const response of watches) response.destroy();
    },
    async close() {
      waiting = [];
      await self.stop();
      ca?.close();
    },
  };
  await self.start();
  return self;
}

function verbOf(method: string, name: string | null, watching: boolean): string {
  if (method === 'GET') return watching ? 'watch' : name === null ? 'list' : 'get';
  if (method === 'POST' && name === null) return 'create';
  if (method === 'PUT' && name !== null) return 'update';
  if (method === 'DELETE' && name !== null) return 'delete';
  throw new KubeFault(405, 'MethodNotAllowed', `${method} is nothing that this server was made for`);
}

function selector(query: URLSearchParams): (object: KubeObject) => boolean {
  const labels = (query.get('labelSelector') ?? '')
    .split(',')
    .filter(Boolean)
    .map((term) => term.split('='));
  const field = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
  return ({ metadata }) =>
    (field === undefined || metadata.name === field) &&
    labels.every(([key, value]) => metadata.labels?.[key!] === value);
}

/** Metadata only, when that was asked for in the right words. */
function only(request: IncomingMessage, isList: boolean, result: object): object {
  const accept = request.headers.accept ?? '';
  if (!accept.includes(';as=')) return result;
  const wanted = isList ? 'PartialObjectMetadataList' : 'PartialObjectMetadata';
  if (accept !== `application/json;as=${wanted};g=meta.k8s.io;v=v1`) {
    throw new KubeFault(406, 'NotAcceptable', `${accept} does not fit`);
  }
  const what = { apiVersion: 'meta.k8s.io/v1', kind: wanted };
  const { metadata, items } = result as { metadata: object; items?: KubeObject[] };
  return { ...what, metadata, ...(items && { items: items.map((item) => ({ metadata: item.metadata })) }) };
}

function withVersion(object: KubeObject, revision: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
}

function statusOf({ code, reason, message }: KubeFault): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function send(response: ServerResponse, status: number, body: object, most = Number.POSITIVE_INFINITY): void {
  const text = JSON.stringify(body);
  if (text.length > most) return;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
