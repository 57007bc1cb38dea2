import { z } from 'zod';

/**
 * A whole number in a path or a query: decimal digits, and nothing else that JavaScript takes for a number. Optional
 * with `prefault`, which its description in OpenAPI shows; `default` it would not.
 */
export const wholeNumber = (min: number, max: number) =>
  z.preprocess(
    (text) => (typeof text === 'string' && /^-?\d+$/.test(text) ? Number(text) : text),
    z
      .int({ error: ({ code }) => (code === 'invalid_type' ? 'must be a whole number' : undefined) })
      .min(min)
      .max(max),
  );
