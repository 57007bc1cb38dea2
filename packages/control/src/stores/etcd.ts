import type { ConfigStore } from '../store.ts';
export interface EtcdStoreOptions {
  endpoints: readonly string[];
  tls?: { ca: Buffer | undefined; cert: Buffer | undefined; key: Buffer | undefined };
  auth?: { user: string; password: string };
  prefix?: string | undefined;
  deadline?: number | undefined;
}
export declare function openEtcdStore(options: EtcdStoreOptions): ConfigStore;
