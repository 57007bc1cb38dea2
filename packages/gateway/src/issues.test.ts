import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { faultsOf } from './issues.ts';

const schema = z.strictObject({
  wait: z.literal('acked').optional(),
  mode: z.enum(['a', 'b']).optional(),
  count: z.int().min(2).max(9).optional(),
  share: z.number().gt(0).lt(1).optional(),
  flag: z.boolean().optional(),
  items: z.array(z.string().min(1).max(2)).min(1).max(2).optional(),
  pair: z.array(z.number()).length(2).optional(),
  some: z.array(z.number()).min(2).optional(),
  inner: z
    .strictObject({ mode: z.enum(['a', 'b']), kind: z.literal('x'), either: z.union([z.string(), z.null()]) })
    .optional(),
  labels: z.record(z.string().regex(/^[a-z]+$/, 'is no name'), z.string()).optional(),
  named: z.record(z.string().min(1), z.string()).optional(),
  at: z.iso.datetime().optional(),
  code: z.string().regex(/^x$/).optional(),
  own: z.string().regex(/^x$/, 'must be x').optional(),
  either: z.union([z.string(), z.array(z.string())]).optional(),
  said: z.union([z.enum(['p', 'q']), z.int()], { error: 'must be p, q or a number' }).optional(),
  step: z.number().multipleOf(5).optional(),
});

test('what is wrong is told in words of who wrote it, never in those of the parser', () => {
  const cases: [object, string[]][] = [
    [{ wait: 'x' }, ['/wait must be "acked"']],
    [{ mode: 'x' }, ['/mode must be one of "a", "b"']],
    [{ count: 2.5 }, ['/count must be a whole number']],
    [{ count: '3' }, ['/count must be a number']],
    [{ count: 1 }, ['/count must be at least 2']],
    [{ count: 10 }, ['/count must be at most 9']],
    [{ share: 0 }, ['/share must be more than 0']],
    [{ share: 1 }, ['/share must be less than 1']],
    [{ flag: 'yes' }, ['/flag must be true or false']],
    [{ items: [] }, ['/items needs at least one item']],
    [{ items: ['', 'abc'] }, ['/items/0 needs at least one character', '/items/1 must have at most 2 characters']],
    [{ items: ['a', 'b', 'c'] }, ['/items must have at most 2 items']],
    [{ items: 'a' }, ['/items must be a list']],
    [{ pair: [1] }, ['/pair must have exactly 2 items']],
    [{ some: [1] }, ['/some needs at least 2 items']],
    [{ inner: [] }, ['/inner must be an object']],
    [
      { inner: {} },
      ['/inner/mode is required: one of "a", "b"', '/inner/kind is required', '/inner/either is required'],
    ],
    [{ inner: { mode: 'a', kind: 'x', either: 1 } }, ['/inner/either must be a string or null']],
    [{ labels: { 'A!': 'x' } }, ['/labels/A! the key is no name']],
    [{ named: { '': 'x' } }, ['/named/ the key needs at least one character']],
    [{ labels: [] }, ['/labels must be an object']],
    [{ at: 'noon' }, ['/at must be a date and time as in RFC 3339, such as 2030-01-31T12:00:00Z']],
    [{ code: 'y' }, ['/code has the wrong form']],
    [{ own: 'y' }, ['/own must be x']],
    [{ either: 1 }, ['/either must be a string or a list']],
    [{ said: 'z' }, ['/said must be p, q or a number']],
    [{ step: 3 }, ['/step must be a multiple of 5']],
    [{ nothing: 1 }, ['/nothing unknown key "nothing"']],
  ];
  for (const [input, expected] of cases) {
    const { error } = schema.safeParse(input);
    assert.deepEqual(
      faultsOf(error!, input).map(({ pointer, message }) => `${pointer} ${message}`),
      expected,
    );
  }
});
