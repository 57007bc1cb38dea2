/**
 * A release's document in content-addressed parts. Each family is a section; every long list inside is cut out (an
 * empty list stays in its place) and becomes a section of its own, in shards whose borders are found in the content:
 * one more user among 100,000 changes one shard. The names of all parts are in the manifest.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gunzipSync, gzip, gzipSync } from 'node:zlib';
import { canonical, sha256, slices } from './canonical.ts';
import type { Manifest, Section } from './release.ts';
import { StoreCorrupt } from './store.ts';

/** What a release holds. Each field of `config` is a family. */
export interface Document {
  tenant: unknown;
  config: Readonly<Record<string, unknown>>;
}

export interface Cut {
  sections: Section[];
  /** SHA-256 -> stored form, each at most MAX_BLOB bytes. */
  blobs: Map<string, Uint8Array>;
  /** SHA-256 of the whole document's canonical JSON. */
  checksum: string;
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
const SHARD_ITEMS = 512;
const SHARD_BYTES = 64 * 1024;
const SHARD_MAX = 256 * 1024;

const FAMILY = /^\/config\/[a-z][a-z_]*$/;

/** The parts of one stored form, remembered by the hash of its unpacked content, so that it is not packed again. */
export interface PackCache {
  get(raw: string): { sha256: string; body: Uint8Array } | undefined;
  set(raw: string, packed: { sha256: string; body: Uint8Array }): unknown;
}

/** Lets the event loop turn every few milliseconds. Same document: same sections, same blobs. */
export async function cut(document: Document, packs?: PackCache): Promise<Cut> {
  const breathe = slices();
  const sections: Section[] = [];
  const blobs = new Map<string, Uint8Array>();
  const whole = createHash('sha256');

  const store = async (json: string, path: string): Promise<string> => {
    const packed = await pack(json, path, packs);
    blobs.set(packed.sha256, packed.body);
    return packed.sha256;
  };
  const storeShards = async (shards: readonly string[], path: string): Promise<Section> => {
    const names: string[] = [];
    // Packing is done by other threads, a few at a time.
    for (let i = 0; i < shards.length; i += 8) {
      names.push(...(await Promise.all(shards.slice(i, i + 8).map((shard) => store(shard, path)))));
      await breathe();
    }
    return { path, blobs: names, list: true };
  };

  /** The value's JSON with an empty list in place of each list that was cut out, and its full JSON in pieces. */
  interface Visited {
    json: string;
    full: readonly string[];
  }
  const visit = async (value: unknown, path: string, inner: Section[]): Promise<Visited> => {
    await breathe();
    if (isSmall(value)) {
      const json = canonical(value);
      return { json, full: [json] };
    }
    if (Array.isArray(value)) {
      const items = await visitItems(value, path, inner);
      if (!items.long) return { json: `[${items.json.join(',')}]`, full: items.full };
      inner.push(await storeShards(await shard(items.json, breathe), path));
      return { json: '[]', full: items.full };
    }
    if (typeof value !== 'object' || value === null) {
      const json = canonical(value);
      return { json, full: [json] };
    }
    const fields: string[] = [];
    const full: string[] = ['{'];
    for (const key of Object.keys(value).sort()) {
      const field = (value as Record<string, unknown>)[key];
      if (field === undefined) continue;
      const visited = await visit(field, `${path}/${pointerToken(key)}`, inner);
      const name = JSON.stringify(key);
      fields.push(`${name}:${visited.json}`);
      full.push(`${full.length > 1 ? ',' : ''}${name}:`);
      for (const piece of visited.full) full.push(piece);
    }
    full.push('}');
    return { json: `{${fields.join(',')}}`, full };
  };
  const visitItems = async (values: readonly unknown[], path: string, inner: Section[]) => {
    const json: string[] = [];
    const full: string[] = [];
    let open = '[';
    let chars = 0;
    for (let i = 0; i < values.length; i++) {
      const pause = breathe();
      if (pause) await pause;
      if (isSmall(values[i])) {
        const text = canonical(values[i]);
        json.push(text);
        open += text;
      } else {
        const visited = await visit(values[i], `${path}/${i}`, inner);
        json.push(visited.json);
        full.push(open);
        for (const piece of visited.full) full.push(piece);
        open = '';
      }
      chars += json[i]!.length + 1;
      if (i < values.length - 1) open += ',';
      if (open.length > LIST_CHARS) {
        full.push(open);
        open = '';
      }
    }
    full.push(`${open}]`);
    return { json, full, long: values.length > LIST_ITEMS || chars > LIST_CHARS };
  };
  const section = async (value: unknown, path: string): Promise<void> => {
    const inner: Section[] = [];
    let full: readonly string[];
    if (Array.isArray(value) && !isSmall(value)) {
      const items = await visitItems(value, path, inner);
      full = items.full;
      if (items.long) sections.push(await storeShards(await shard(items.json, breathe), path));
      else sections.push({ path, blobs: [await store(`[${items.json.join(',')}]`, path)], list: false });
    } else {
      const visited = await visit(value, path, inner);
      full = visited.full;
      sections.push({ path, blobs: [await store(visited.json, path)], list: false });
    }
    // Outer lists before what was cut out of their items: so the parts can be put together in this order.
    sections.push(...inner.reverse());
    for (const piece of full) {
      whole.update(piece);
      await breathe();
    }
  };

  whole.update('{"config":{');
  const families = Object.keys(document.config).sort();
  for (const [index, family] of families.entries()) {
    const path = `/config/${pointerToken(family)}`;
    if (!FAMILY.test(path)) throw new TypeError(`${family} is no name of a family`);
    whole.update(`${index === 0 ? '' : ','}${JSON.stringify(family)}:`);
    await section(document.config[family], path);
  }
  whole.update('},"tenant":');
  await section(document.tenant, '/tenant');
  whole.update('}');
  return { sections, blobs, checksum: whole.digest('hex') };
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
      const body = bodies.get(name);
      if (!body) throw new StoreCorrupt(`blob ${name} is missing`);
      if (sha256(body) !== name) throw new StoreCorrupt(`blob ${name} was altered`);
      cache.set(name, await unpack(name, body));
      await breathe();
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
    const value = await sectionValue(section, cache);
    if (index === 0) root = value;
    else if (!section.list) throw new StoreCorrupt(`section ${section.path} is no list`);
    else root = graft(root, section.path.slice(sections[0]!.path.length), value, section.path);
    await breathe();
  }
  if (key) cache.set(key, root);
  return root;
}

async function sectionValue(section: Section, cache: PartCache): Promise<unknown> {
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
  if (typeof value !== 'object' || value === null || key === '__proto__' || !Object.hasOwn(value, key)) {
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

/**
 * Joins items to shards. A border lies after an item whose own hash says so, with a chance of one in SHARD_ITEMS, more
 * for a large item (a shard shall have about SHARD_BYTES). So a border moves only with its item, and an insertion
 * touches one shard. Behind twice SHARD_BYTES borders get 8 times as likely, which makes the hard limit rare.
 */
async function shard(items: readonly string[], breathe: () => Promise<void> | undefined): Promise<string[]> {
  const shards: string[] = [];
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    const size = Buffer.byteLength(item) + 1;
    if (bytes > 0 && bytes + size > SHARD_MAX) close(i);
    bytes += size;
    const chance = Math.max(1 / SHARD_ITEMS, size / SHARD_BYTES) * (bytes > 2 * SHARD_BYTES ? 8 : 1);
    if (draw(item) < chance) close(i + 1);
    const pause = breathe();
    if (pause) await pause;
  }
  if (start < items.length) close(items.length);
  return shards;

  function close(end: number): void {
    shards.push(`[${items.slice(start, end).join(',')}]`);
    start = end;
    bytes = 0;
  }
}

/** A number in [0, 1) drawn from a text: FNV-1a with murmur3's last step, which spreads the low bits. */
function draw(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

const compress = promisify(gzip);
const decompress = promisify(gunzip);
const LEVEL = { level: 4 };
/** Bytes unpacked, up to which it is quicker done (about a millisecond at most) than handed to another thread. */
const SMALL = 64 * 1024;

/** The content of a small blob; null when it is none. RFC 1952 §2.3.1: the last four bytes are its length, if true. */
function unpackSmall(body: Uint8Array): Buffer | null {
  const length = Buffer.from(body.buffer, body.byteOffset, body.length).readUInt32LE(body.length - 4);
  return length <= SMALL && body.length <= SMALL ? gunzipSync(body, { maxOutputLength: SMALL }) : null;
}

async function pack(json: string, path: string, packs: PackCache | undefined) {
  const raw = Buffer.from(json, 'utf8');
  if (raw.length > MAX_RAW) throw new DocumentTooLarge(path, raw.length);
  if (raw.length <= GZIP_ABOVE) return { sha256: sha256(raw), body: raw };
  const key = packs && sha256(raw);
  const known = key && packs.get(key);
  if (known) return known;
  const body = raw.length <= SMALL ? gzipSync(raw, LEVEL) : await compress(raw, LEVEL);
  // The header names the operating system; "unknown" everywhere keeps the hash the same (RFC 1952 §2.3.1).
  body[9] = 255;
  if (body.length > MAX_BLOB) throw new DocumentTooLarge(path, body.length);
  const packed = { sha256: sha256(body), body };
  if (key) packs.set(key, packed);
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
