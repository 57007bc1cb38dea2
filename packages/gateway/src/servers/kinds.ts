import { httpProxy } from './http_proxy.ts';

export const serverKinds = [httpProxy] as const;
