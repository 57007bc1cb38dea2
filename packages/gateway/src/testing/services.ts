import { isRefused } from '@arcus/protocol/http1/request.ts';
import { parseAuthority } from '@arcus/protocol/http1/target.ts';
import { Limits } from '../limits.ts';
import type { Services } from '../services.ts';
import type { Decision, Session } from '../session.ts';
import { Stats } from '../stats.ts';
import { Wheel } from '../wheel.ts';

export interface TestServices {
  readonly services: Services;
  readonly decisions: Decision[];
  /** Wall clock of the services, ms; starts at the present. */
  time: number;
  close(): void;
}

/** Services of a process of its own, with a clock that stands still until it is set. */
export function testServices(): TestServices {
  const wheel = new Wheel(20);
  const decisions: Decision[] = [];
  const test: TestServices = {
    services: {
      now: () => test.time,
      wheel,
      stats: new Stats(),
      limits: new Limits(() => test.time),
      record: (decision) => decisions.push(decision),
      worker: 'test',
    },
    decisions,
    time: Date.now(),
    close: () => wheel.close(),
  };
  return test;
}

/** A session as kinds see it: a tunnel from 192.0.2.1 to `host` port 443 unless told otherwise. */
export function testSession(host: string, more: Partial<Session> & { port?: number } = {}): Session {
  const { port = 443, ...rest } = more;
  const target = parseAuthority(host.includes(':') ? `[${host}]` : host, port);
  if (isRefused(target)) throw new Error(`${host}: ${target.reason}`);
  return {
    tenant: 'test',
    version: 1,
    server: 'web',
    client: '192.0.2.1',
    purpose: 'tunnel',
    method: 'CONNECT',
    target,
    path: '',
    via: '1.1 test',
    user: '',
    user_group: '',
    started: 0,
    signal: new AbortController().signal,
    ...rest,
  };
}
