/** Texts that people write for people: they end in logs, tables and terminals of others. */
import { z } from 'zod';

/** One line. `max` counts UTF-16 units. */
export const Line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'must not contain control characters or half characters');

/** Why something was done: a commit's message often, so it may have lines. */
export const Message = z
  .string()
  .max(1024)
  .regex(/^(?:[^\p{Cc}\p{Cs}]|[\t\n\r])*$/u, 'must not contain control characters or half characters');
