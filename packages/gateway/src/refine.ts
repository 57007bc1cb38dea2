import type { z } from 'zod';

/**
 * The schema of a text, with a check of what it means: one field that is wrong hides no fault of another. `why` answers
 * null when the text is right, or what is wrong with it.
 */
export const meaning = <S extends z.ZodString>(schema: S, code: string, why: (text: string) => string | null): S =>
  schema.superRefine((text, ctx) => {
    // A text of the wrong length is told as that.
    const message = ctx.issues.length > 0 ? null : why(text);
    if (message !== null) ctx.addIssue({ code: 'custom', message, params: { code } });
  });
