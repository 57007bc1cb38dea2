import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseDocument } from './yaml.ts';

/** `__proto__` is refused, wherever it is. */
const jsonObject = fc
  .dictionary(fc.string(), fc.jsonValue())
  .filter((value) => !JSON.stringify(value).includes('"__proto__":'));

const codes = (text: string, filename?: string) => parseDocument(text, filename).faults.map((f) => f.code);

describe('a document', () => {
  it('in YAML says where each value is', () => {
    const text = 'servers:\n  - name: a\n    listen: { address: "1.2.3.4:80" }\n  - name: b\nescapers: []\n';
    const { value, locate, faults } = parseDocument(text);
    assert.deepEqual(faults, []);
    assert.deepEqual((value as { servers: unknown[] }).servers[1], { name: 'b' });
    assert.deepEqual(locate('/servers/0/listen/address'), { line: 3, column: 15 });
    assert.deepEqual(locate('/servers/1'), { line: 4, column: 5 });
    assert.deepEqual(locate('/escapers'), { line: 5, column: 1 });
    assert.deepEqual(locate('/servers/1/missing'), { line: 4, column: 5 }, 'the nearest value around it');
  });

  it('in JSON says where each value is', () => {
    const text = '{\n  "servers": [\n    {"name": "a", "x": {"y": [1, 2,\n 3]}},\n    {"name": "b", "a/b~c": true}]\n}';
    const { locate, faults } = parseDocument(text);
    assert.deepEqual(faults, []);
    assert.deepEqual(locate('/servers/0/x/y/2'), { line: 4, column: 2 });
    assert.deepEqual(locate('/servers/1/name'), { line: 5, column: 6 });
    assert.deepEqual(locate('/servers/1/a~1b~0c'), { line: 5, column: 19 });
    assert.deepEqual(locate('/servers/1/missing'), { line: 5, column: 5 });
    assert.deepEqual(locate('/nothing'), { line: 1, column: 1 });
  });

  it('with a key twice is refused, with the place of the second', () => {
    for (const text of ['{"a": {"b": 1,\n"c": {}, "b": 2}}', 'a:\n  b: 1\n  b: 2\n', '{"a":{"\\u0062":1,\n"b":2}}']) {
      const { value, faults } = parseDocument(text);
      assert.equal(value, undefined);
      assert.deepEqual(
        faults.map((f) => [f.pointer, f.code]),
        [['/a/b', 'duplicate_key']],
      );
      assert.ok(faults[0]!.line >= 2);
    }
    assert.deepEqual(codes('{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}'), []);
  });

  it('that would grow without bound is refused', () => {
    const bomb =
      'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n';
    assert.deepEqual(codes(bomb), ['aliases']);
    assert.deepEqual(codes('a: &a [*a]'), ['aliases'], 'one that stands in itself');
    const long = `a: &a "${'x'.repeat(200_000)}"\nb: [${'*a, '.repeat(90)}]`;
    assert.deepEqual(codes(long), ['aliases']);
    assert.deepEqual(codes('['.repeat(200_000)), ['syntax']);
    assert.deepEqual(codes('['.repeat(65) + ']'.repeat(65)), ['too_deep']);
    assert.deepEqual(codes(`{"a":${'['.repeat(64)}1${']'.repeat(64)}}`), ['too_deep']);
    assert.deepEqual(codes('['.repeat(64) + ']'.repeat(64)), []);
    assert.deepEqual(codes(`a: ${'x'.repeat(9 * 1024 * 1024)}`), ['too_big']);
    assert.deepEqual(codes('x'.repeat(65 * 1024 * 1024)), ['too_big']);
  });

  it('with more than plain values is refused', () => {
    assert.deepEqual(codes('a: !!js/function "x"'), ['syntax']);
    assert.deepEqual(codes('a: !secret x'), ['syntax']);
    assert.deepEqual(codes('? [a, b]\n: 1'), ['syntax']);
    assert.deepEqual(codes('a: 1\n---\na: 2\n'), ['syntax']);
    assert.deepEqual(codes('a: *nowhere'), ['aliases']);
    assert.deepEqual(parseDocument('<<: { a: 1 }').value, { '<<': { a: 1 } });
    assert.deepEqual(parseDocument('a: yes\nb: 010\nc: 2024-01-01').value, { a: 'yes', b: 10, c: '2024-01-01' });
  });

  it('is read in the same way as JSON and as YAML', () => {
    for (const text of [
      '{"a": "\\ud800"}',
      '{"a": {"__proto__": 1}}',
      '{"\\udc00": 1}',
      '{"a": [1e999]}',
      '{"a":1,"b":2,"a":3,"b":4}',
    ]) {
      const flow = (name: string) => parseDocument(text, name).faults.map(({ code, pointer }) => [code, pointer]);
      assert.ok(flow('x.json').length > 0, text);
      // What begins with a brace is JSON, unless something is before it.
      const yaml = parseDocument(`# YAML\n${text}`).faults.map(({ code, pointer }) => [code, pointer]);
      assert.deepEqual(yaml, flow('x.json'), text);
    }
  });

  it('with many faults tells the first hundred', () => {
    const keys = Array.from({ length: 500 }, () => '"a":1').join(',');
    assert.equal(parseDocument(`{${keys}}`).faults.length, 100);
    assert.equal(parseDocument(`# YAML\n{${keys}}`).faults.length, 100);
  });

  it('that is broken JSON says where, and repeats nothing of it', () => {
    const { faults } = parseDocument('{\n "password": "hunter2" "x": 1}', 'config.json');
    assert.deepEqual(
      faults.map(({ code, line }) => ({ code, line })),
      [{ code: 'syntax', line: 2 }],
    );
    assert.doesNotMatch(JSON.stringify(faults), /hunter2/);
  });

  it('that is empty is null', () => {
    assert.equal(parseDocument('').value, null);
    assert.equal(parseDocument('# nothing\n').value, null);
  });

  it('in JSON means what JSON.parse says, and each value is found where it is', () => {
    fc.assert(
      fc.property(jsonObject, fc.integer({ min: 0, max: 4 }), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const document = parseDocument(text, 'x.json');
        assert.deepEqual(document.faults, []);
        assert.deepEqual(JSON.stringify(document.value), JSON.stringify(value));
        const lines = text.split('\n');
        for (const key of Object.keys(value)) {
          const { line, column } = document.locate(`/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`);
          assert.ok(lines[line - 1]!.slice(column - 1).startsWith(JSON.stringify(key)));
        }
      }),
    );
  });
});
