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
export function testSession(host: string, more: Partial<Session> & { literal?: boolean; port?: number } = {}): Session {
  const { literal = false, port = 443, ...rest } = more;
  return {
    tenant: 'test',
    version: 1,
    server: 'web',
    client: '192.0.2.1',
    purpose: 'tunnel',
    method: 'CONNECT',
    target: { host, port, literal, key: `${host}:${port}` },
    path: '',
    via: '1.1 test',
    user: '',
    user_group: '',
    started: 0,
    ...rest,
  };
}
