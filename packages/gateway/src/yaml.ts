import { type Document, isCollection, isMap, isPair, isScalar, LineCounter, parseDocument as parseYaml } from 'yaml';
import { type Fault, pointer } from './fault.ts';
import { MAX_DEPTH, MAX_FAULTS, MAX_KEYS, type Place, type ReadText, readJson } from './json_read.ts';
import { offsetIn } from './json_scan.ts';

/** Longest text that is read, characters: a config of 100,000 users has some 25 million. */
export const MAX_TEXT = 64 * 1024 * 1024;
/** Longest YAML, characters: it is read some ten times slower than JSON. */
export const MAX_YAML = 8 * 1024 * 1024;
/** YAML may name a value and use it again; so often at most. */
const MAX_ALIASES = 100;

export interface ParsedText extends ReadText {
  /** Where the value of a pointer is, or the nearest value around it that is there. */
  locate(pointer: string): Place;
}

/**
 * Reads JSON or YAML 1.2 (core schema, one document). It is JSON if `filename` ends in .json, or else if it begins
 * with a brace and is JSON. A key that is there twice is a fault. An empty YAML is null.
 */
export function parseDocument(text: string, filename = ''): ParsedText {
  if (text.length > MAX_TEXT) {
    const fault = { pointer: '', code: 'too_big', message: `longer than ${MAX_TEXT} characters`, line: 1, column: 1 };
    return { value: undefined, faults: [fault], locate: () => ({ line: 1, column: 1 }) };
  }
  const body = text.startsWith('\ufeff') ? text.slice(1) : text;
  const json = /\.json$/i.test(filename);
  if (json || /^\s*\{/.test(body)) {
    const read = readJson(body);
    // A text that only looks like JSON may be YAML.
    if (json || !read.faults.some((fault) => fault.code === 'syntax')) {
      const valid = read.faults.length === 0;
      return {
        ...read,
        locate: (at) => (valid ? placeOf(body, offsetIn(body, segments(at))) : { line: 1, column: 1 }),
      };
    }
  }
  return readYaml(body);
}

const segments = (at: string): string[] =>
  at
    .split('/')
    .slice(1)
    .map((s) => s.replaceAll('~1', '/').replaceAll('~0', '~'));

function placeOf(text: string, offset: number): Place {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}

function readYaml(text: string): ParsedText {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const faults: (Fault & Place)[] = [];
  const add = (code: string, message: string, offset = 0, where = '') => {
    if (faults.length < MAX_FAULTS) faults.push({ pointer: where, code, message, ...at(offset) });
  };
  let document: Document.Parsed | undefined;
  let value: unknown;
  if (text.length > MAX_YAML) add('too_big', `longer than ${MAX_YAML} characters; send it as JSON`);
  else {
    try {
      document = parseYaml(text, {
        lineCounter: lines,
        version: '1.2',
        schema: 'core',
        merge: false,
        // The library compares each key with all others; `duplicateKeys` does not.
        uniqueKeys: false,
        prettyErrors: false,
        logLevel: 'error',
      });
      // A warning is about a tag that we do not know: it would silently change what a value is.
      for (const { code, message, pos } of [...document.errors, ...document.warnings]) {
        add('syntax', code === 'MULTIPLE_DOCS' ? 'more than one document' : `not YAML: ${message}`, pos[0]);
      }
      for (const d of badNodes(document.contents)) add(d.code, d.message, d.offset, pointer(...d.path));
    } catch {
      add('syntax', 'nested too deeply');
    }
  }
  if (document && faults.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (isTooLarge(value)) add('aliases', 'aliases make it too large');
    } catch {
      add('aliases', `an alias cannot be resolved, or aliases stand for more than ${MAX_ALIASES} values`);
    }
  }
  return {
    value: faults.length === 0 ? value : undefined,
    faults,
    locate(wanted) {
      let node: unknown = document?.contents;
      let offset = offsetOf(node) ?? 0;
      for (const segment of segments(wanted)) {
        if (!isCollection(node)) break;
        const pair = isMap(node) ? node.items.find((p) => String((p.key as any)?.value ?? p.key) === segment) : null;
        const next: unknown = isPair(pair) ? pair.value : isMap(node) ? undefined : node.items[Number(segment)];
        const start = pair ? offsetOf(pair.key) : offsetOf(next);
        if (start === undefined) break;
        offset = start;
        node = next;
      }
      return at(offset);
    },
  };
}

const offsetOf = (node: unknown): number | undefined => (node as { range?: [number] } | null | undefined)?.range?.[0];

interface BadNode {
  readonly code: string;
  readonly message: string;
  readonly path: readonly string[];
  readonly offset: number;
}

/** What JSON could not say, or not say so: the same as `readJson` refuses. */
function* badNodes(root: unknown): Generator<BadNode> {
  const stack: { node: unknown; path: string[] }[] = [{ node: root, path: [] }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { node, path } = top;
    if (isScalar(node)) {
      const offset = offsetOf(node) ?? 0;
      if (typeof node.value === 'string' && !node.value.isWellFormed()) yield halfCharacter(path, offset);
      if (typeof node.value === 'number' && !Number.isFinite(node.value)) {
        yield { code: 'not_finite', message: 'a number is too large, or none', path, offset };
      }
      continue;
    }
    if (!isCollection(node)) continue;
    if (path.length === MAX_DEPTH) {
      yield { code: 'too_deep', message: `nested deeper than ${MAX_DEPTH}`, path: [], offset: offsetOf(node) ?? 0 };
      continue;
    }
    if (isMap(node) && node.items.length > MAX_KEYS) {
      yield { code: 'too_big', message: `an object has more than ${MAX_KEYS} keys`, path, offset: offsetOf(node) ?? 0 };
      continue;
    }
    const seen = new Set<string>();
    for (const [index, item] of node.items.entries()) {
      if (!isPair(item)) {
        stack.push({ node: item, path: [...path, String(index)] });
        continue;
      }
      const offset = offsetOf(item.key) ?? 0;
      if (!isScalar(item.key)) {
        yield { code: 'syntax', message: 'not YAML: a key must be a plain value', path, offset };
        continue;
      }
      const key = String(item.key.value);
      const below = [...path, key];
      if (seen.has(key))
        yield { code: 'duplicate_key', message: `the key "${key}" is there twice`, path: below, offset };
      if (key === '__proto__') {
        yield { code: 'reserved_key', message: 'the key "__proto__" is not taken', path: below, offset };
      }
      if (!key.isWellFormed()) yield halfCharacter(path, offset);
      seen.add(key);
      stack.push({ node: item.value, path: below });
    }
  }
}

const halfCharacter = (path: readonly string[], offset: number): BadNode => ({
  code: 'half_character',
  message: 'a string has half a character (a lone surrogate)',
  path,
  offset,
});

/** Would it be too long or too deep, written out? With aliases few lines are a lot, and one may stand in itself. */
function isTooLarge(value: unknown): boolean {
  const stack = [{ value, depth: 0 }];
  let left = MAX_YAML;
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    left -= typeof top.value === 'string' ? top.value.length + 4 : 4;
    if (left < 0 || top.depth > MAX_DEPTH) return true;
    if (typeof top.value !== 'object' || top.value === null) continue;
    for (const [key, inner] of Object.entries(top.value)) {
      if (!Array.isArray(top.value)) left -= key.length;
      stack.push({ value: inner, depth: top.depth + 1 });
    }
  }
  return false;
}
