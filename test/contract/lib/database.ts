/** A management service for each test, on a database of its own. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type TestApi, type TestApiOptions, testApi } from '@arcus/api/testing.ts';

/** Gives the URL of a new, empty database each time. */
export type NewDatabase = () => Promise<string | undefined> | string | undefined;

let port = 20_000;

/** Two tenants of one test never want the same address. */
export const nextPort = (): number => ++port;

export function onDatabase(newDatabase: NewDatabase) {
  const open = async (t: TestContext, options: TestApiOptions = {}): Promise<TestApi> => {
    const database = options.database ?? (await newDatabase());
    const api = await testApi({ ...options, ...(database === undefined ? {} : { database }) });
    t.after(() => api.close());
    return api;
  };
  const tenant = async (api: TestApi, tenant_id: string, config: object = {}) => {
    const made = await api.call('POST', '/tenants', { body: { tenant_id, tenant_name: tenant_id, config } });
    assert.equal(made.status, 201, made.text);
    return made;
  };
  return { open, tenant };
}
