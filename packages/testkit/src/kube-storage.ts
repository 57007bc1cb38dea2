/**
 * What lies behind the API server that `kube.ts` plays: objects with all their versions since the last compaction, and
 * the rules that Kubernetes has for ConfigMaps and Leases.
 */
import { randomUUID } from 'node:crypto';

export interface KubeMeta {
  name: string;
  namespace: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string }[];
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: KubeMeta;
  [field: string]: any;
}

export interface KubeEvent {
  revision: number;
  resource: string;
  namespace: string;
  /** Null: made. */
  before: KubeObject | null;
  /** Null: removed. */
  after: KubeObject | null;
}

/** What the API answers as a `Status` object. */
export class KubeFault extends Error {
  readonly code: number;
  readonly reason: string;
  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export const kinds: Readonly<Record<string, { apiVersion: string; kind: string; base: string }>> = {
  configmaps: { apiVersion: 'v1', kind: 'ConfigMap', base: '/api/v1' },
  leases: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', base: '/apis/coordination.k8s.io/v1' },
};

interface Version {
  revision: number;
  object: KubeObject | null;
}

interface State {
  revision: number;
  compacted: number;
  versions: Map<string, Version[]>;
  events: KubeEvent[];
}

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

export class KubeStorage {
  #state: State = { revision: 100, compacted: 0, versions: new Map(), events: [] };
  readonly #watchers = new Set<(event: KubeEvent) => void>();

  get revision(): number {
    return this.#state.revision;
  }

  get(resource: string, namespace: string, name: string): KubeObject | null {
    return this.#state.versions.get(`${resource}/${namespace}/${name}`)?.at(-1)?.object ?? null;
  }

  /** Objects as they were at `revision`, by name. */
  list(resource: string, namespace: string, revision = this.revision): KubeObject[] {
    if (revision < this.#state.compacted)
      throw new KubeFault(410, 'Expired', 'The provided continue parameter is too old');
    if (revision > this.revision) throw new KubeFault(500, 'InternalError', 'required revision is a future revision');
    const found: KubeObject[] = [];
    for (const [key, versions] of this.#state.versions) {
      if (!key.startsWith(`${resource}/${namespace}/`)) continue;
      const object = versions.findLast((version) => version.revision <= revision)?.object;
      if (object) found.push(object);
    }
    return found.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Events behind `revision`, then every new one, until the function it gives is called. */
  watch(revision: number, take: (event: KubeEvent) => void): () => void {
    if (revision < this.#state.compacted) {
      throw new KubeFault(410, 'Expired', `too old resource version: ${revision} (${this.#state.compacted})`);
    }
    for (const event of this.#state.events) if (event.revision > revision) take(event);
    this.#watchers.add(take);
    return () => this.#watchers.delete(take);
  }

  create(resource: string, namespace: string, given: KubeObject): KubeObject {
    const name = given.metadata?.name;
    check(resource, given);
    if (given.metadata.resourceVersion) {
      throw new KubeFault(500, 'InternalError', 'resourceVersion should not be set on objects to be created');
    }
    if (this.get(resource, namespace, name)) {
      throw new KubeFault(409, 'AlreadyExists', `${resource} "${name}" already exists`);
    }
    const creationTimestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const metadata = { ...given.metadata, namespace, uid: randomUUID(), creationTimestamp };
    return this.#put(resource, { ...given, metadata }, null);
  }

  replace(resource: string, namespace: string, name: string, given: KubeObject): KubeObject {
    if (given.metadata?.name !== name) throw new KubeFault(400, 'BadRequest', 'the name of the object does not match');
    const now = this.get(resource, namespace, name);
    const { uid: wanted, resourceVersion } = given.metadata;
    if (wanted && wanted !== now?.metadata.uid) {
      const message = `Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${now?.metadata.uid ?? ''}`;
      throw new KubeFault(409, 'Conflict', message);
    }
    if (!now) {
      if (resource === 'configmaps') throw new KubeFault(404, 'NotFound', `${resource} "${name}" not found`);
      // A Lease is made by a PUT, too, whatever version it names.
      const { resourceVersion: _, ...metadata } = given.metadata;
      return this.create(resource, namespace, { ...given, metadata: metadata as KubeMeta });
    }
    if (!resourceVersion && resource === 'leases') {
      throw new KubeFault(
        422,
        'Invalid',
        'metadata.resourceVersion: Invalid value: 0x0: must be specified for an update',
      );
    }
    if (resourceVersion && resourceVersion !== now.metadata.resourceVersion) {
      throw new KubeFault(
        409,
        'Conflict',
        `Operation cannot be fulfilled on ${resource} "${name}": the object has been modified`,
      );
    }
    check(resource, given);
    if (now.immutable && (!given.immutable || !same(now.data, given.data) || !same(now.binaryData, given.binaryData))) {
      throw new KubeFault(422, 'Invalid', 'data: Forbidden: field is immutable when `immutable` is set');
    }
    const { uid, creationTimestamp } = now.metadata;
    const metadata = {
      ...given.metadata,
      namespace,
      uid,
      creationTimestamp,
      resourceVersion: now.metadata.resourceVersion,
    };
    const next = { ...given, metadata };
    // What changes nothing is not written.
    return same(now, next) ? now : this.#put(resource, next, now);
  }

  remove(
    resource: string,
    namespace: string,
    name: string,
    { uid, resourceVersion }: { uid?: string; resourceVersion?: string } = {},
  ): KubeObject {
    const now = this.get(resource, namespace, name);
    if (!now) throw new KubeFault(404, 'NotFound', `${resource} "${name}" not found`);
    if ((uid && uid !== now.metadata.uid) || (resourceVersion && resourceVersion !== now.metadata.resourceVersion)) {
      throw new KubeFault(409, 'Conflict', `Precondition failed for ${resource} "${name}"`);
    }
    const revision = ++this.#state.revision;
    const last = { ...now, metadata: { ...now.metadata, resourceVersion: String(revision) } };
    this.#versionsOf(resource, now).push({ revision, object: null });
    this.#tell({ revision, resource, namespace, before: last, after: null });
    this.#collect(namespace, now.metadata.uid);
    return now;
  }

  /** Forgets all versions that are not the newest. */
  compact(): void {
    const state = this.#state;
    state.compacted = state.revision;
    state.events = [];
    for (const [key, versions] of state.versions) {
      const last = versions.at(-1)!;
      if (last.object) state.versions.set(key, [last]);
      else state.versions.delete(key);
    }
  }

  /** A cluster made anew: other uids, another past; `revision` is where it begins to count. */
  renew(revision = 100): void {
    this.#state = { revision, compacted: revision, versions: new Map(), events: [] };
  }

  /** Gives what puts everything back as it is now. */
  backup(): () => void {
    const copy = (state: State): State => ({
      ...state,
      versions: new Map([...state.versions].map(([key, versions]) => [key, [...versions]])),
      events: [...state.events],
    });
    const kept = copy(this.#state);
    return () => {
      this.#state = copy(kept);
    };
  }

  #put(resource: string, object: KubeObject, before: KubeObject | null): KubeObject {
    const revision = ++this.#state.revision;
    const { apiVersion, kind } = kinds[resource]!;
    const metadata = { ...object.metadata, resourceVersion: String(revision) };
    const after = { ...object, apiVersion, kind, metadata };
    this.#versionsOf(resource, after).push({ revision, object: after });
    this.#tell({ revision, resource, namespace: metadata.namespace, before, after });
    return after;
  }

  #versionsOf(resource: string, { metadata: { namespace, name } }: KubeObject): Version[] {
    const key = `${resource}/${namespace}/${name}`;
    const versions = this.#state.versions.get(key) ?? [];
    this.#state.versions.set(key, versions);
    return versions;
  }

  #tell(event: KubeEvent): void {
    this.#state.events.push(event);
    for (const take of this.#watchers) take(event);
  }

  /** Kubernetes' garbage collector, but at once: what belonged only to an object that is gone goes, too. */
  #collect(namespace: string, uid: string): void {
    for (const resource of Object.keys(kinds)) {
      for (const { metadata } of this.list(resource, namespace)) {
        const owners = metadata.ownerReferences ?? [];
        if (owners.length > 0 && owners.every((owner) => owner.uid === uid))
          this.remove(resource, namespace, metadata.name);
      }
    }
  }
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, field]) => [key, sorted(field)]));
}

function check(resource: string, object: KubeObject): void {
  const { apiVersion, kind } = kinds[resource]!;
  if (object.apiVersion !== apiVersion || object.kind !== kind) {
    throw new KubeFault(400, 'BadRequest', `${object.apiVersion} ${object.kind} is not ${apiVersion} ${kind}`);
  }
  const fields = [
    'apiVersion',
    'kind',
    'metadata',
    ...(kind === 'Lease' ? ['spec'] : ['data', 'binaryData', 'immutable']),
  ];
  for (const field of Object.keys(object)) {
    if (!fields.includes(field)) throw new KubeFault(400, 'BadRequest', `unknown field "${field}"`);
  }
  const invalid = (what: string) => new KubeFault(422, 'Invalid', what);
  const { name, labels = {}, annotations = {} } = object.metadata;
  if (typeof name !== 'string' || name.length > 253 || !NAME.test(name)) throw invalid(`metadata.name: ${name}`);
  for (const [key, value] of Object.entries(labels)) {
    const [prefix, rest] = key.includes('/') ? [key.split('/')[0]!, key.slice(key.indexOf('/') + 1)] : [null, key];
    if ((prefix !== null && !NAME.test(prefix)) || !LABEL_NAME.test(rest)) throw invalid(`metadata.labels: ${key}`);
    if (!LABEL_VALUE.test(value)) throw invalid(`metadata.labels: ${value}`);
  }
  if (sizeOf(annotations) > 256 * 1024)
    throw invalid('metadata.annotations: Too long: may not be more than 262144 bytes');
  if (kind === 'ConfigMap') {
    const { data = {}, binaryData = {} } = object;
    for (const key of [...Object.keys(data), ...Object.keys(binaryData)]) {
      if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) throw invalid(`data: ${key}`);
    }
    let size = sizeOf(data);
    for (const text of Object.values(binaryData as Record<string, string>)) {
      if (Buffer.from(text, 'base64').toString('base64') !== text) throw invalid('binaryData: not base64');
      size += (text.length * 3) / 4;
    }
    if (size > 1024 * 1024) throw invalid('[]: Too long: must have at most 1048576 bytes');
    return;
  }
  const { leaseDurationSeconds, renewTime, acquireTime, holderIdentity } = object.spec ?? {};
  if (leaseDurationSeconds !== undefined && !(Number.isInteger(leaseDurationSeconds) && leaseDurationSeconds > 0)) {
    throw invalid('spec.leaseDurationSeconds: must be greater than 0');
  }
  if (holderIdentity === '') throw invalid('spec.holderIdentity: must not be empty');
  for (const time of [renewTime, acquireTime]) {
    if (time !== undefined && !MICRO_TIME.test(time)) throw new KubeFault(400, 'BadRequest', `parsing time "${time}"`);
  }
}

function sizeOf(map: Record<string, string>): number {
  return Object.entries(map).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value), 0);
}
