import { RE2JS } from 're2js';
import { regexSize } from './regex-size.ts';

/** Parts of an expression with its repetitions written out: to compile so many takes a few milliseconds. */
export const MAX_REGEX = 2000;

/** Hosts whose result is remembered, per list. */
const REMEMBERED = 4096;

/**
 * A regular expression in RE2 syntax, which runs in linear time whatever the text; case does not matter. Throws with
 * a sentence that says what is wrong.
 */
export function compileRegex(pattern: string): RE2JS {
  const size = regexSize(pattern);
  if (size > MAX_REGEX) {
    throw new Error(`too large: with its repetitions written out it has ${size} parts, ${MAX_REGEX} are the most`);
  }
  try {
    return RE2JS.compile(pattern, RE2JS.CASE_INSENSITIVE);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    // Our flag for ignoring case is not what the user wrote.
    throw new Error(`not a regular expression in RE2 syntax: ${reason.replace('`(?i)', '`')}`);
  }
}

/** Expressions in order; the first that is found anywhere in a host wins. */
export class RegexList<V> {
  readonly #values = new Map<string, V>();
  readonly #list: { readonly pattern: string; readonly regex: RE2JS; value: V }[] = [];
  /** Index of the expression that matched, -1 for none: a site is asked for many times. */
  readonly #seen = new Map<string, number>();

  add(pattern: string, value: V): V | undefined {
    const existing = this.#values.get(pattern);
    if (existing !== undefined) return existing;
    this.#list.push({ pattern, regex: compileRegex(pattern), value });
    this.#values.set(pattern, value);
    return undefined;
  }

  /** Gives each expression another value. */
  renumber(to: (value: V) => V): void {
    for (const entry of this.#list) {
      entry.value = to(entry.value);
      this.#values.set(entry.pattern, entry.value);
    }
  }

  find(host: string): { readonly pattern: string; readonly value: V } | undefined {
    if (this.#list.length === 0) return undefined;
    let index = this.#seen.get(host);
    if (index === undefined) {
      index = this.#list.findIndex((e) => e.regex.test(host));
      if (this.#seen.size >= REMEMBERED) this.#seen.clear();
      this.#seen.set(host, index);
    }
    return this.#list[index];
  }
}
