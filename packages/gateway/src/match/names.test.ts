import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { run } from '../slices.ts';
import { NameTable } from './names.ts';

const label = fc.stringMatching(/^[a-c]{1,3}$/);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));

/** What it does, said plainly. */
class Plain {
  readonly hosts = new Map<string, number>();
  readonly domains = new Map<string, number>();

  add(name: string, domain: boolean, value: number): number {
    const map = domain ? this.domains : this.hosts;
    const known = map.get(name);
    if (known === undefined) map.set(name, value);
    return known ?? -1;
  }

  find(host: string, literal: boolean): [number, string, boolean] | null {
    const own = this.hosts.get(host);
    if (own !== undefined) return [own, host, false];
    if (literal) return null;
    for (let rest = host; ; rest = rest.slice(rest.indexOf('.') + 1)) {
      const value = this.domains.get(rest);
      if (value !== undefined) return [value, rest, true];
      if (!rest.includes('.')) return null;
    }
  }
}

describe('a table of names', () => {
  it('finds the host itself, else the longest domain it is in, as two Maps would', () => {
    const value = fc.nat(0x7fffffff);
    const entries = fc.array(fc.tuple(name, fc.boolean(), value), { maxLength: 60 });
    fc.assert(
      fc.property(entries, fc.array(name, { maxLength: 30 }), fc.nat(80), fc.boolean(), (all, hosts, room, trim) => {
        const [table, plain] = [new NameTable(), new Plain()];
        if (room > 20) table.reserve(room);
        for (const [text, domain, value] of all) {
          assert.equal(table.add(text, domain, value), plain.add(text, domain, value));
          if (trim && value % 7 === 0) table.trim();
        }
        if (trim) table.trim();
        assert.equal(table.size, plain.hosts.size + plain.domains.size);
        for (const host of [...hosts, ...all.map(([text]) => text), ...all.map(([text]) => `x.${text}`)]) {
          for (const literal of [false, true]) {
            const wanted = plain.find(host, literal);
            assert.equal(table.find(host, literal), wanted?.[0] ?? -1, host);
            if (wanted) assert.deepEqual([host.slice(table.start), table.domain], wanted.slice(1), host);
          }
        }
        const numbers = new Map([...plain.hosts.values(), ...plain.domains.values()].map((n, i) => [n, i]));
        run(table.renumber((value) => numbers.get(value)!));
        for (const [text, domain] of all)
          assert.equal(table.add(text, domain, 1), numbers.get(plain.add(text, domain, 1)));
      }),
      { numRuns: 500 },
    );
  });

  it('takes a hundred thousand names, and the longest there are', () => {
    const table = new NameTable();
    const names = Array.from({ length: 100_000 }, (_, i) => `host-${i}.${i % 977}.example`);
    for (const [i, text] of names.entries()) assert.equal(table.add(text, i % 2 === 0, i), -1);
    const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    assert.equal(table.add(longest, true, 7), -1);
    table.trim();
    for (const [i, text] of names.entries()) assert.equal(table.find(text, false), i);
    assert.equal(table.find(longest, false), 7);
    assert.equal(table.find(longest.slice(1), false), -1);
    assert.equal(table.find('host-1.1.example2', false), -1);
    assert.equal(table.find('', false), -1);
  });

  it('has no part of a label for a domain', () => {
    const table = new NameTable();
    table.add('example', true, 1);
    assert.equal(table.find('www.example', false), 1);
    assert.equal(table.find('wwwexample', false), -1);
    assert.equal(table.find('.example', false), 1);
    assert.equal(table.find('example.www', false), -1);
  });
});
