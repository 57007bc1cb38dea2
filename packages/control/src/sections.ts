/**
 * A release's document in content-addressed parts. Each family is a section; every long list inside is cut out (an
 * empty list stays in its place) and becomes a section of its own, in shards whose borders are found in the content:
 * one more user among 100,000 changes one shard. The names of all parts are in the manifest.
 */
import { promisify } from 'node:util';
import { gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import { canonical, sha256 } from './canonical.ts';
import type { Manifest, Section } from './release.ts';
import { Again, type ListCut, type Packed, Sharder, type ShardText } from './shards.ts';
import { StoreCorrupt } from './store.ts';
import { slices } from './turns.ts';

/** What a release holds. Each field of `config` is a family. */
export interface Document {
  tenant: unknown;
  config: Readonly<Record<string, unknown>>;
}

export interface Cut {
  sections: Section[];
  /** SHA-256 -> stored form, each at most MAX_BLOB bytes. */
  blobs: Map<string, Uint8Array>;
  /** SHA-256 of the canonical JSON of `sections`: they name all of the document by its hashes. */
  checksum: string;
  /** For the next cut of the same tenant's document. */
  memory: CutMemory;
}

/** What a cut leaves to the next one of a document that shares most of its objects, so that it costs what differs. */
export interface CutMemory {
  /** Long lists by path. */
  readonly lists: ReadonlyMap<string, ListCut>;
  /** Other parts by the hash of their unpacked content: they are not packed again. */
  readonly packs: ReadonlyMap<string, Packed>;
}

/** A part of a document is too large for a store: a single object or text of several MiB. */
export class DocumentTooLarge extends Error {
  readonly path: string;
  constructor(path: string, bytes: number) {
    super(`${path} takes ${bytes} bytes in one piece; a store takes at most ${MAX_BLOB}`);
    this.name = 'DocumentTooLarge';
    this.path = path;
  }
}

/** Bytes of a blob as it is stored. */
export const MAX_BLOB = 512 * 1024;
/** Bytes of a blob unpacked, against blobs that explode. */
const MAX_RAW = 8 * 1024 * 1024;
const GZIP_ABOVE = 4 * 1024;
const LIST_ITEMS = 256;
const LIST_CHARS = 64 * 1024;

const FAMILY = /^\/config\/[a-z][a-z_]*$/;

/** Shards that are packed at the same time, by other threads. */
const PACKING = 8;

/** Lets the event loop turn every few milliseconds. Same document: same sections, same blobs, whatever is remembered. */
export async function cut(document: Document, before?: CutMemory): Promise<Cut> {
  const cutter = new Cutter(before);
  for (const family of Object.keys(document.config).sort()) {
    const path = `/config/${pointerToken(family)}`;
    if (!FAMILY.test(path)) throw new TypeError(`${family} is no name of a family`);
    await cutter.section(document.config[family], path);
  }
  await cutter.section(document.tenant, '/tenant');
  const { sections, blobs, lists, packs } = cutter;
  return { sections, blobs, checksum: sha256(canonical(sections)), memory: { lists, packs } };
}

class Cutter {
  readonly sections: Section[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  readonly lists = new Map<string, ListCut>();
  readonly packs = new Map<string, Packed>();
  readonly #before: CutMemory | undefined;
  readonly #breathe = slices();

  constructor(before: CutMemory | undefined) {
    this.#before = before;
  }

  async section(value: unknown, path: string): Promise<void> {
    const inner: Section[] = [];
    const json = await this.#visit(value, path, inner);
    const root = inner.at(-1);
    // A family that is itself a long list is its own section.
    if (root?.path === path) this.sections.push(inner.pop()!);
    else this.sections.push({ path, blobs: [await this.#store(json, path)], list: false });
    // Outer lists before what was cut out of their items: so the parts can be put together in this order.
    this.sections.push(...inner.reverse());
  }

  /** The value's JSON with an empty list in place of each list that was cut out; those come last in `inner`. */
  async #visit(value: unknown, path: string, inner: Section[]): Promise<string> {
    await this.#breathe();
    if (typeof value !== 'object' || value === null || isSmall(value)) return canonical(value);
    if (Array.isArray(value)) return this.#list(value, path, inner);
    const fields: string[] = [];
    for (const key of Object.keys(value).sort()) {
      const field = (value as Record<string, unknown>)[key];
      if (field === undefined) continue;
      const json = await this.#visit(field, `${path}/${pointerToken(key)}`, inner);
      fields.push(`${JSON.stringify(key)}:${json}`);
    }
    return `{${fields.join(',')}}`;
  }

  async #list(values: readonly unknown[], path: string, inner: Section[]): Promise<string> {
    const known = this.#before?.lists.get(path);
    const list = (known && values.length > LIST_ITEMS && (await this.#cutAgain(known, values, path))) || null;
    if (list) inner.push(this.#keep(list, path));
    else {
      const texts: string[] = [];
      const before = inner.length;
      let chars = 0;
      for (let i = 0; i < values.length; i++) {
        texts.push(isSmall(values[i]) ? canonical(values[i]) : await this.#visit(values[i], `${path}/${i}`, inner));
        chars += texts[i]!.length + 1;
        const pause = this.#breathe();
        if (pause) await pause;
      }
      if (values.length <= LIST_ITEMS && chars <= LIST_CHARS) return `[${texts.join(',')}]`;
      const plain = inner.length === before;
      inner.push(this.#keep({ values, shards: await this.#cutTexts(texts, path) }, path, plain));
    }
    return '[]';
  }

  #keep(list: ListCut, path: string, plain = true): Section {
    if (plain) this.lists.set(path, list);
    for (const { packed } of list.shards) this.blobs.set(packed.sha256, packed.body);
    return { path, blobs: list.shards.map(({ packed }) => packed.sha256), list: true };
  }

  async #cutTexts(texts: readonly string[], path: string): Promise<ListCut['shards']> {
    const packing = new Packing((json) => pack(json, path));
    const sharder = new Sharder();
    for (const text of texts) {
      for (const shard of sharder.add(text)) await packing.add(shard);
      const pause = this.#breathe();
      if (pause) await pause;
    }
    for (const shard of sharder.end()) await packing.add(shard);
    return packing.done();
  }

  /** As `#cutTexts` of all values, with the shards of before that are the same. Null when an item has to be cut itself. */
  async #cutAgain(known: ListCut, values: readonly unknown[], path: string): Promise<ListCut | null> {
    if (known.values === values) return known;
    const again = new Again(known, values);
    const packing = new Packing((json) => pack(json, path));
    const sharder = new Sharder();
    let rest: ListCut['shards'] | null = null;
    for (let i = again.start; i < values.length && !rest; i++) {
      rest = sharder.empty ? again.rest(i) : null;
      if (rest) break;
      if (!isSmall(values[i])) return null;
      for (const shard of sharder.add(canonical(values[i]))) await packing.add(shard);
      const pause = this.#breathe();
      if (pause) await pause;
    }
    for (const shard of sharder.end()) await packing.add(shard);
    return { values, shards: [...again.kept, ...(await packing.done()), ...(rest ?? [])] };
  }

  async #store(json: string, path: string): Promise<string> {
    const packed = await pack(json, path, { get: (raw) => this.#before?.packs.get(raw), kept: this.packs });
    this.blobs.set(packed.sha256, packed.body);
    return packed.sha256;
  }
}

/** Packs shards, a few at a time. */
class Packing {
  readonly #pack: (json: string) => Promise<Packed>;
  readonly #shards: Promise<ListCut['shards'][number]>[] = [];

  constructor(pack: (json: string) => Promise<Packed>) {
    this.#pack = pack;
  }

  async add({ json, items }: ShardText): Promise<void> {
    const before = this.#shards.at(-PACKING);
    const packed = this.#pack(json).then((packed) => ({ items, packed }));
    // Told by `add` or `done`, in order.
    packed.catch(() => {});
    this.#shards.push(packed);
    await before;
  }

  done(): Promise<ListCut['shards']> {
    return Promise.all(this.#shards);
  }
}

/** Parsed parts by name, kept between releases: an unchanged part is neither fetched nor parsed again. */
export interface PartCache {
  get(key: string): unknown;
  set(key: string, value: unknown): unknown;
  has(key: string): boolean;
}

/**
 * The document that a manifest names. Every blob's hash is checked; a section that is not where `cut` would have put
 * it is StoreCorrupt. With the same `cache`, unchanged families and lists of two documents are the same objects: never
 * change what this returns.
 */
export async function join(
  manifest: Pick<Manifest, 'sections'>,
  getBlobs: (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>,
  cache: PartCache = new Map(),
): Promise<Document> {
  const breathe = slices();
  await fetchParts(manifest.sections, getBlobs, cache, breathe);
  const config: Record<string, unknown> = {};
  let tenant: { value: unknown } | undefined;
  for (let i = 0; i < manifest.sections.length; ) {
    const root = manifest.sections[i]!;
    let end = i + 1;
    while (manifest.sections[end]?.path.startsWith(`${root.path}/`)) end++;
    const value = await assemble(manifest.sections.slice(i, end), cache, breathe);
    i = end;
    if (root.path === '/tenant' && !tenant) tenant = { value };
    else if (FAMILY.test(root.path) && !Object.hasOwn(config, root.path.slice(8))) config[root.path.slice(8)] = value;
    else throw new StoreCorrupt(`unexpected section ${root.path}`);
  }
  if (!tenant) throw new StoreCorrupt('section /tenant is missing');
  return { tenant: tenant.value, config };
}

async function fetchParts(
  sections: readonly Section[],
  getBlobs: (sha256: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>,
  cache: PartCache,
  breathe: () => Promise<void> | undefined,
): Promise<void> {
  const missing = new Set<string>();
  for (const section of sections) {
    // A list that is put together already needs none of its shards.
    if (section.list && cache.has(listKey(section))) continue;
    for (const name of section.blobs) if (!cache.has(name)) missing.add(name);
  }
  const names = [...missing];
  for (let i = 0; i < names.length; i += 64) {
    const batch = names.slice(i, i + 64);
    const bodies = await getBlobs(batch);
    for (const name of batch) {
      // Many bodies come with one answer of a store.
      await breathe();
      const body = bodies.get(name);
      if (!body) throw new StoreCorrupt(`blob ${name} is missing`);
      if (sha256(body) !== name) throw new StoreCorrupt(`blob ${name} was altered`);
      cache.set(name, await unpack(name, body));
    }
  }
}

function listKey(section: Section): string {
  return `list ${sha256(section.blobs.join())}`;
}

/** One root section with the lists that were cut out of it. */
async function assemble(
  sections: readonly Section[],
  cache: PartCache,
  breathe: () => Promise<void> | undefined,
): Promise<unknown> {
  const key = sections.length > 1 ? `tree ${sha256(canonical(sections))}` : undefined;
  if (key && cache.has(key)) return cache.get(key);
  let root: unknown;
  for (const [index, section] of sections.entries()) {
    const value = await sectionValue(section, cache, breathe);
    if (index === 0) root = value;
    else if (!section.list) throw new StoreCorrupt(`section ${section.path} is no list`);
    else root = graft(root, section.path.slice(sections[0]!.path.length), value, section.path);
    await breathe();
  }
  if (key) cache.set(key, root);
  return root;
}

async function sectionValue(
  section: Section,
  cache: PartCache,
  breathe: () => Promise<void> | undefined,
): Promise<unknown> {
  if (!section.list) {
    if (section.blobs.length !== 1) throw new StoreCorrupt(`section ${section.path} has ${section.blobs.length} blobs`);
    return cache.get(section.blobs[0]!);
  }
  const key = listKey(section);
  if (cache.has(key)) return cache.get(key);
  const all: unknown[] = [];
  for (const name of section.blobs) {
    const part = cache.get(name);
    if (!Array.isArray(part)) throw new StoreCorrupt(`blob ${name} of ${section.path} is no list`);
    for (const item of part) all.push(item);
    const pause = breathe();
    if (pause) await pause;
  }
  cache.set(key, all);
  return all;
}

/** `value` with `list` in place of the empty list at `pointer`; what lies on the way is copied, never changed. */
function graft(value: unknown, pointer: string, list: unknown, path: string): unknown {
  if (pointer === '') {
    if (Array.isArray(value) && value.length === 0) return list;
    throw new StoreCorrupt(`section ${path} has no place`);
  }
  const [, token = '', rest = ''] = /^\/([^/]*)(.*)$/s.exec(pointer) ?? [];
  const key = token.replaceAll('~1', '/').replaceAll('~0', '~');
  // Its own key, be it `__proto__`: that has a place, too, and what is written below is a key, no prototype.
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) {
    throw new StoreCorrupt(`section ${path} has no place`);
  }
  if (Array.isArray(value)) return value.with(Number(key), graft(value[Number(key)], rest, list, path));
  return { ...value, [key]: graft((value as Record<string, unknown>)[key], rest, list, path) };
}

function pointerToken(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** True when nothing in here can need a cut; looks at no more than about LIST_CHARS characters. */
function isSmall(value: unknown): boolean {
  return weigh(value, LIST_CHARS) >= 0;
}

/** What is left of `budget` characters, or below zero. A rough upper bound of the JSON's length, escapes aside. */
function weigh(value: unknown, budget: number): number {
  if (typeof value === 'string') return budget - value.length - 3;
  if (typeof value !== 'object' || value === null) return budget - 24;
  let left = budget - 2;
  if (Array.isArray(value)) {
    if (value.length > LIST_ITEMS) return -1;
    for (const item of value) {
      left = weigh(item, left);
      if (left < 0) return left;
    }
    return left;
  }
  for (const key in value) {
    left = weigh((value as Record<string, unknown>)[key], left - key.length - 4);
    if (left < 0) return left;
  }
  return left;
}

const compress = promisify(gzip);
const decompress = promisify(gunzip);
const LEVEL = { level: 4 };
/** Bytes unpacked, up to which it is quicker done (about a millisecond at most) than handed to another thread. */
const SMALL = 64 * 1024;
/** The same when packing, which takes five times as long. */
const SMALL_PACK = 12 * 1024;

/** The content of a small blob; null when it is none. RFC 1952 §2.3.1: the last four bytes are its length, if true. */
function unpackSmall(body: Uint8Array): Buffer | null {
  const length = Buffer.from(body.buffer, body.byteOffset, body.length).readUInt32LE(body.length - 4);
  if (length > SMALL || body.length > SMALL) return null;
  // One byte more than it says: a buffer that is just full asks for the next one.
  return gunzipSync(body, { maxOutputLength: SMALL, chunkSize: Math.max(length, 64) + 1 });
}

interface PackCache {
  get(raw: string): Packed | undefined;
  /** Gets what is used, by the hash of its unpacked content. */
  kept: Map<string, Packed>;
}

async function pack(json: string, path: string, packs?: PackCache): Promise<Packed> {
  const raw = Buffer.from(json, 'utf8');
  if (raw.length > MAX_RAW) throw new DocumentTooLarge(path, raw.length);
  if (raw.length <= GZIP_ABOVE) return { sha256: sha256(raw), body: raw };
  const key = packs && sha256(raw);
  const known = key && packs.get(key);
  if (known) packs.kept.set(key, known);
  if (known) return known;
  const body = raw.length <= SMALL_PACK ? gzipSync(raw, LEVEL) : await compress(raw, LEVEL);
  // The header names the operating system; "unknown" everywhere keeps the hash the same (RFC 1952 §2.3.1).
  body[9] = 255;
  if (body.length > MAX_BLOB) throw new DocumentTooLarge(path, body.length);
  const packed = { sha256: sha256(body), body };
  if (key) packs.kept.set(key, packed);
  return packed;
}

async function unpack(name: string, body: Uint8Array): Promise<unknown> {
  try {
    // JSON never starts with gzip's two first bytes.
    const packed = body[0] === 0x1f && body[1] === 0x8b;
    const raw = !packed ? body : (unpackSmall(body) ?? (await decompress(body, { maxOutputLength: MAX_RAW })));
    return JSON.parse(Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('utf8'));
  } catch (error) {
    throw new StoreCorrupt(`blob ${name}: ${(error as Error).message}`);
  }
}
