import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { compileRegex } from './regex.ts';
import { regexSize } from './regex-size.ts';

const atom = fc.constantFrom(
  'a',
  '\\.',
  '[a-z]',
  '[]x{9}]',
  '[^])]',
  '[[:alpha:](]',
  '\\Q){7}(\\E',
  '[\\]]',
  '(?i)',
  '^',
  '()',
);
const tail = fc.constantFrom('', '', '', '*', '+?', '{2}', '{1,7}', '{3,}', '{,5}', '{x}');
const expression = fc.letrec<{ any: string; group: string }>((tie) => ({
  any: fc
    .array(fc.tuple(fc.oneof({ weight: 3, arbitrary: atom }, tie('group')), tail), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.flat().join('')),
  group: fc.oneof(
    { depthSize: 'small' },
    atom,
    tie('any').map((inner) => `(${inner})`),
    tie('any').map((inner) => `(?:${inner}|b)`),
  ),
})).any;

describe('a regular expression', () => {
  it('is never larger when it is compiled than it was taken for', () => {
    let compiled = 0;
    fc.assert(
      fc.property(expression, (pattern) => {
        let size: number;
        try {
          size = RE2JS.compile(pattern).programSize();
        } catch {
          return;
        }
        compiled++;
        // Each part is a few instructions: of a text between \Q and \E one for each letter, of (x)* three and two more.
        assert.ok(
          size <= 10 + 4 * regexSize(pattern),
          `${pattern}: ${size} instructions, taken for ${regexSize(pattern)}`,
        );
      }),
      { numRuns: 3000, examples: [['()*(?i){1,7}']] },
    );
    assert.ok(compiled > 1000);
  });

  it('that stands for a million characters is refused before it is compiled, a usual one is not', () => {
    for (const large of [
      `(?:${'x'.repeat(900)}){1000}`,
      '[a-z]{1,1000}'.repeat(70),
      `(?:\\Q)\\E${'x'.repeat(100)}){1000}`,
      `(?:[)]${'x'.repeat(100)}){1000}`,
      '\\pL'.repeat(300),
      `[${'\\pL'.repeat(300)}]`,
    ]) {
      assert.throws(() => compileRegex(large), /too large/, large.slice(0, 40));
    }
    for (const usual of ['(^|\\.)casino[0-9]*\\.', '[a-z0-9-]{1,63}\\.[a-z0-9-]{1,63}\\.example', 'x'.repeat(1000)]) {
      compileRegex(usual);
    }
    assert.throws(() => compileRegex('(('), /RE2 syntax/);
  });
});
