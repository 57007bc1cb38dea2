import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MAX_DEPTH, readJson, readJsonSteps } from './json_read.ts';
import { run } from './slices.ts';

const cut = (text: string, size: number) =>
  run(
    readJsonSteps(
      Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size)),
    ),
  );

/** As JSON.parse reads it; undefined when it does not. */
function plain(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

describe('reading JSON', () => {
  it('gives what JSON.parse gives, wherever the text is cut', () => {
    const value = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' });
    fc.assert(
      fc.property(value, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 9 }), (value, indent, size) => {
        const text = JSON.stringify(value, null, indent);
        fc.pre(!text.includes('"__proto__":'));
        const read = cut(text, size);
        assert.deepEqual(read, { value: JSON.parse(text), faults: [] });
      }),
    );
  });

  it('takes no text that JSON.parse does not take, and each that it takes', () => {
    const part = fc.constantFrom(
      ...'{}[],:"\\ \n-+.eE01x'.split(''),
      ...['true', 'null', 'fals', 'e', '"a"', '12.5e-3', '\\u00e4', '1e', '-', '"k":', '\u0001'],
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), (parts, size) => {
        const text = parts.join('');
        const wanted = plain(text);
        const read = cut(text, size);
        // These are our own wishes.
        if (read.faults.some(({ code }) => code === 'duplicate_key' || code === 'not_finite')) return;
        assert.deepEqual(read.value, wanted, JSON.stringify(text));
        assert.equal(read.faults.length === 0, wanted !== undefined);
      }),
      { numRuns: 5000 },
    );
  });

  it('says the place of each fault, also across pieces', () => {
    const text = '{\n  "a": [{"b": 1}, {\n "c": 1,\n   "c": 2}],\n  "a": 3\n}';
    for (const size of [1, 2, 7, 1000]) {
      assert.deepEqual(
        cut(text, size).faults.map(({ pointer, line, column }) => [pointer, line, column]),
        [
          ['/a/1/c', 4, 4],
          ['/a', 5, 3],
        ],
        `pieces of ${size}`,
      );
    }
    assert.deepEqual(
      cut('{"a": [1, "\\ud800"]}', 3).faults.map(({ code, pointer }) => [code, pointer]),
      [['half_character', '/a/1']],
    );
  });

  it('goes as deep as a person would, in any size of text', () => {
    const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    assert.deepEqual(readJson(deep(MAX_DEPTH)).faults, []);
    assert.deepEqual(
      readJson(deep(5_000_000)).faults.map((f) => f.code),
      ['too_deep'],
    );
  });

  it('refuses an object with more keys than any schema has', () => {
    const object = (keys: number) => `{${Array.from({ length: keys }, (_, i) => `"k${i}":0`).join(',')}}`;
    assert.deepEqual(readJson(object(1000)).faults, []);
    const { faults } = readJson(`{"a":[0,${object(50_000)}]}`);
    assert.deepEqual(
      faults.map(({ code, pointer }) => [code, pointer]),
      [['too_big', '/a/1']],
    );
  });

  it('does not hold a text that never ends a string', () => {
    assert.deepEqual(
      readJson(`["${'x'.repeat(3_000_000)}"]`).faults.map((f) => f.code),
      ['too_big'],
    );
    assert.equal((readJson(`["${'x'.repeat(900_000)}"]`).value as string[])[0]!.length, 900_000);
  });

  it('pauses after each piece', () => {
    const steps = readJsonSteps(['[1,', '2', ']']);
    let pauses = 0;
    while (!steps.next().done) pauses++;
    assert.equal(pauses, 3);
  });
});
