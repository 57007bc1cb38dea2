/**
 * What a config means and what is wrong with it, as files: each `graphs/*.yaml` compiles to the graph beside it, each
 * `faults/*.yaml` has exactly the faults beside it. `UPDATE_GOLDEN=1` writes them anew; read the diff then.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { examine } from '@arcus/gateway/check.ts';
import { compile } from '@arcus/gateway/compile.ts';
import { explainGraph } from '@arcus/gateway/explain.ts';
import { testServices } from '@arcus/gateway/testing/services.ts';
import { parseDocument } from '@arcus/gateway/yaml.ts';

const TENANT = 'golden';
const here = import.meta.dirname;
const update = process.env.UPDATE_GOLDEN === '1';

function cases(folder: string): { name: string; text: string; expect(actual: unknown): void }[] {
  const files = readdirSync(join(here, folder)).filter((f) => f.endsWith('.yaml'));
  return files.map((file) => {
    const golden = join(here, folder, `${basename(file, '.yaml')}.json`);
    return {
      name: basename(file, '.yaml'),
      text: readFileSync(join(here, folder, file), 'utf8'),
      expect(actual) {
        const text = `${JSON.stringify(actual, null, 2)}\n`;
        if (update) writeFileSync(golden, text);
        else assert.equal(text, readFileSync(golden, 'utf8'));
      },
    };
  });
}

const { services, close } = testServices();
after(close);

describe('config -> graph', () => {
  for (const { name, text, expect } of cases('graphs')) {
    it(name, () => {
      const { value, faults } = parseDocument(text);
      assert.deepEqual(faults, []);
      const { config, faults: more } = examine(value, TENANT);
      assert.deepEqual(more, []);
      const status = name === 'inactive' || name === 'suspended' ? name : 'active';
      const info = { tenant_id: TENANT, tenant_name: 'Golden', status, resource_limits: {} } as const;
      const graph = compile(info, 1, config!, { services, unseal: () => 'clear' });
      const explained = explainGraph(graph);
      graph.retire();
      assert.ok(!JSON.stringify(explained).includes('sealed:'), 'a graph in words holds no secret');
      expect(explained);
    });
  }
});

describe('config -> faults', () => {
  for (const { name, text, expect } of cases('faults')) {
    it(name, () => {
      const document = parseDocument(text);
      const faults = [...document.faults];
      if (faults.length === 0) {
        const found = examine(document.value, TENANT);
        assert.equal(found.config, null);
        for (const fault of found.faults) faults.push({ ...fault, ...document.locate(fault.pointer) });
      }
      assert.ok(faults.length > 0);
      assert.ok(!JSON.stringify(faults).includes('canary'), 'a fault never repeats a secret');
      expect(faults);
    });
  }

  it('the same file in JSON has the same faults', () => {
    for (const { name, text } of cases('faults')) {
      const { value, faults } = parseDocument(text);
      if (faults.length > 0) continue;
      const json = parseDocument(JSON.stringify(value, null, 2), 'config.json');
      assert.deepEqual(examine(json.value, TENANT), examine(value, TENANT), name);
    }
  });
});
