import { type Document, isCollection, isMap, isPair, isScalar, LineCounter, parseDocument as parseYaml } from 'yaml';
import { type Fault, pointer } from './fault.ts';
import { scanJson } from './json_scan.ts';

/** Longest text that is read, characters: a config of 100,000 users has some 25 million. */
export const MAX_TEXT = 64 * 1024 * 1024;
/** Longest YAML, characters: it is read some ten times slower than JSON. */
export const MAX_YAML = 8 * 1024 * 1024;
/** YAML may name a value and use it again; so often at most, lest few lines become gigabytes. */
const MAX_ALIASES = 100;

/** Both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ParsedText {
  /** Undefined when the text cannot be read. */
  readonly value: unknown;
  /** What is wrong with the text itself; each with its place. */
  readonly faults: readonly (Fault & Place)[];
  /** Where the value of a pointer is, or the nearest value around it that is there. */
  locate(pointer: string): Place;
}

/**
 * Reads JSON or YAML 1.2 (core schema, one document). It is JSON if `filename` ends in .json, or else if it begins
 * with a brace and is JSON. A key that is there twice is a fault. An empty text is null.
 */
export function parseDocument(text: string, filename = ''): ParsedText {
  if (text.length > MAX_TEXT) {
    const fault = { pointer: '', code: 'too_big', message: `longer than ${MAX_TEXT} characters`, line: 1, column: 1 };
    return { value: undefined, faults: [fault], locate: () => ({ line: 1, column: 1 }) };
  }
  const body = text.startsWith('\ufeff') ? text.slice(1) : text;
  const json = /\.json$/i.test(filename);
  if (json || /^\s*\{/.test(body)) {
    try {
      return readJson(body, JSON.parse(body));
    } catch (error) {
      if (json) return badJson(body, (error as Error).message);
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

function readJson(text: string, value: unknown): ParsedText {
  const faults = scanJson(text).duplicates.map(({ path, offset }) => ({
    pointer: pointer(...path),
    code: 'duplicate_key',
    message: `the key "${path[path.length - 1]}" is there twice`,
    ...placeOf(text, offset),
  }));
  return {
    value: faults.length === 0 ? value : undefined,
    faults,
    locate: (at) => placeOf(text, scanJson(text, segments(at)).found),
  };
}

function badJson(text: string, message: string): ParsedText {
  const position = /at position (\d+)/.exec(message);
  const place = placeOf(text, position ? Number(position[1]) : text.length);
  // V8's own message quotes the text around the place, which may hold a secret.
  const fault = { pointer: '', code: 'syntax', message: 'this is not JSON', ...place };
  return { value: undefined, faults: [fault], locate: () => place };
}

function readYaml(text: string): ParsedText {
  const lines = new LineCounter();
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const faults: (Fault & Place)[] = [];
  const add = (code: string, message: string, offset = 0, where = '') =>
    faults.push({ pointer: where, code, message, ...at(offset) });
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
      for (const d of badKeys(document.contents)) add(d.code, d.message, d.offset, pointer(...d.path));
    } catch {
      add('syntax', 'nested too deeply');
    }
  }
  if (document && faults.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch {
      add('aliases', `an alias cannot be resolved, or aliases stand for more than ${MAX_ALIASES} values`);
    }
  }
  return {
    value,
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

/** Keys that their map has already, and keys that are no scalars. */
function* badKeys(root: unknown): Generator<{ code: string; message: string; path: string[]; offset: number }> {
  const stack: { node: unknown; path: string[] }[] = [{ node: root, path: [] }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const { node, path } = top;
    if (!isCollection(node)) continue;
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
      if (seen.has(key)) {
        yield { code: 'duplicate_key', message: `the key "${key}" is there twice`, path: [...path, key], offset };
      }
      seen.add(key);
      stack.push({ node: item.value, path: [...path, key] });
    }
  }
}
