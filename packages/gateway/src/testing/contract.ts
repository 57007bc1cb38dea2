/** What every kind must keep to, whatever it does: run over all kinds and all their examples. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { z } from 'zod';
import { parseObject } from '../config.ts';
import { type BuildContext, type Family, families, type Kind, type LiveObject, type LiveOf } from '../kind.ts';
import { run, type Steps } from '../slices.ts';
import { testServices } from './services.ts';

/** Stands for any object that an example points to. */
const standIn = (name: string) => ({ name, type: 'stand_in', connect() {}, resolve() {}, authenticate() {} });

/** Timers, sockets and the like that this process holds; files that are being loaded do not count. */
function holding(): string {
  return process
    .getActiveResourcesInfo()
    .filter((what) => !/^(FSReq|FileHandle|Pipe|TTY|Immediate)/.test(what))
    .sort()
    .join(' ');
}

/** Builds an object of a kind without a graph; a generator is run to its end. */
export function build<F extends Family>(kind: Kind<F>, config: unknown, context: BuildContext): LiveOf[F] {
  const made = kind.create(config, context);
  return 'next' in made ? run(made as Steps<LiveOf[F]>) : made;
}

/** The contract of one kind, as tests. */
export function kindContract<F extends Family>(kind: Kind<F>): void {
  describe(`${kind.family} ${kind.type}`, () => {
    const { services, close } = testServices();
    after(close);

    it('says what it is, and its schema can be shown as JSON Schema with a description for each field', () => {
      assert.ok(kind.description.length > 10);
      assert.match(kind.type, /^[a-z][a-z0-9_]*$/);
      type Properties = Record<string, { description?: string; $ref?: string }>;
      const shown = z.toJSONSchema(kind.config, { io: 'input' }) as {
        properties?: Properties;
        $ref?: string;
        $defs?: Record<string, { properties: Properties }>;
      };
      const properties = shown.properties ?? shown.$defs![shown.$ref!.split('/').pop()!]!.properties;
      for (const [field, value] of Object.entries(properties)) {
        assert.ok('description' in value || value.$ref, `${field} has no description`);
      }
    });

    it('has examples', () => assert.ok(kind.examples.length > 0));

    for (const example of kind.examples as readonly (Record<string, unknown> & { name: string })[]) {
      describe(example.name, () => {
        const { object, faults } = parseObject(kind.family, structuredClone(example));
        const refs = object ? (kind.refs?.(object) ?? []) : [];
        const declared = new Set(refs.map((r) => `${r.family}/${r.name}`));
        const asked = new Set<string>();
        const context: BuildContext = {
          tenant: 'acme',
          services,
          get(family, name) {
            assert.ok(declared.has(`${family}/${name}`), `it asks for ${family}/${name}, which is not in its refs`);
            asked.add(`${family}/${name}`);
            return standIn(name) as unknown as LiveOf[typeof family];
          },
          previous: () => undefined,
          policies: [],
          unseal: (value) => value,
        };

        it('is valid', () => {
          assert.deepEqual(faults, []);
          assert.deepEqual([...(kind.check?.(object, { tenant: 'acme' }) ?? [])].filter(Boolean), []);
        });

        it('is the same after it was stored and read again', () => {
          assert.deepEqual(parseObject(kind.family, JSON.parse(JSON.stringify(object))).object, object);
        });

        it('refuses a key that it does not know', () => {
          const found = parseObject(kind.family, { ...example, no_such_key: 1 });
          assert.deepEqual(
            found.faults.map((f) => [f.pointer, f.code]),
            [['/no_such_key', 'unknown_key']],
          );
        });

        it('points to objects of families that exist, and says where', () => {
          for (const ref of refs) {
            assert.ok((families as readonly string[]).includes(ref.family));
            let value: unknown = object;
            for (const key of ref.pointer.slice(1).split('/')) value = (value as Record<string, unknown>)[key];
            assert.equal(value, ref.name, `${ref.pointer} is not where ${ref.name} is said`);
          }
        });

        it('is built without listening, dialling or starting a timer, and explains itself', () => {
          const before = holding();
          const live: LiveObject = build(kind, object, context);
          assert.equal(holding(), before);
          assert.equal(live.name, example.name);
          assert.equal(live.type, kind.type);
          assert.deepEqual(asked, declared, 'it declares what it uses, and uses what it declares');
          if (live.explain) assert.match(live.explain(), /^\S.{9,}$/);
          live.close?.();
          live.close?.();
          assert.equal(holding(), before);
        });
      });
    }
  });
}
