import { z } from 'zod';
import { Problem } from './problem.ts';
import { wholeNumber } from './whole-number.ts';

/** Query of every list. */
export const PageQuery = z.strictObject({
  limit: wholeNumber(1, 1000).prefault(100).describe('How many at most, 1 to 1000'),
  cursor: z.string().max(2048).optional().describe('`next_cursor` of the page before'),
});

/** A page of a list: stable while others write, because a cursor names the last key that was seen. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({
    items: z.array(item),
    next_cursor: z.string().nullable().describe('Where the next page starts; null on the last one'),
  });

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** Cuts a page from `limit + 1` rows; `keyOf` is the last row's key, as `cursorKey` gives it back. */
export function page<R, T>(rows: R[], limit: number, keyOf: (row: R) => string | number, map: (row: R) => T): Page<T> {
  const more = rows.length > limit;
  const shown = more ? rows.slice(0, limit) : rows;
  const last = shown.at(-1);
  return {
    items: shown.map(map),
    next_cursor: more && last !== undefined ? encode(keyOf(last)) : null,
  };
}

const encode = (key: string | number): string => Buffer.from(JSON.stringify([key])).toString('base64url');

/** The key in a cursor; undefined on the first page. 400 for what no page answered. */
export function cursorKey<T extends z.ZodType>(cursor: string | undefined, schema: T): z.output<T> | undefined {
  if (cursor === undefined) return undefined;
  try {
    return z.tuple([schema]).parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()))[0] as z.output<T>;
  } catch {
    throw new Problem('bad_request', 'The cursor is none that a page answered', {
      faults: [{ pointer: '/query/cursor', message: 'is not a cursor', code: 'invalid_cursor' }],
    });
  }
}
