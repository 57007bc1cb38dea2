import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { Config, kinds } from '../config.ts';
import { families, type Kind } from '../kind.ts';
import { kindContract } from './contract.ts';

for (const family of families) for (const kind of kinds[family] as readonly Kind[]) kindContract(kind);

describe('all kinds together', () => {
  it('no type is there twice in a family', () => {
    for (const family of families) {
      const types = (kinds[family] as readonly Kind[]).map((k) => k.type);
      assert.deepEqual(types, [...new Set(types)]);
    }
  });

  it('the whole config can be shown as JSON Schema, with secrets marked', () => {
    const text = JSON.stringify(z.toJSONSchema(Config, { io: 'input' }));
    assert.match(text, /"secret":true/);
    assert.match(text, /"writeOnly":true/);
  });
});
