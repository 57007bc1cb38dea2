/** A network namespace with one cable to here, and a way to cut off one address there so that nobody is told. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from '@arcus/testkit/port.ts';

export interface Namespace {
  /** Here, as seen from inside. */
  readonly here: string;
  /** Inside, as seen from here. */
  readonly there: string;
  wrap(command: string, args: readonly string[]): { command: string; args: readonly string[] };
  /** Packets to and from a port here vanish, on both ways. */
  cut(port: number): void;
  heal(): void;
  close(): void;
}

const run = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' });

/** Why it cannot be had; '' when it can. */
export function unable(): string {
  try {
    const name = `arcus-try-${process.pid}`;
    run('ip', 'netns', 'add', name);
    try {
      run('ip', 'netns', 'exec', name, 'iptables', '-A', 'INPUT', '-j', 'DROP');
    } finally {
      run('ip', 'netns', 'del', name);
    }
    return '';
  } catch (error) {
    return `needs root, iproute2 and iptables (${(error as Error).message.split('\n')[0]})`;
  }
}

/** A process that was killed leaves its namespace behind, and with it a network that the next may want. */
function removeLeftOvers(): void {
  for (const [name, pid] of `${run('ip', 'netns', 'list')}`.matchAll(/^arcus-(?:try-)?(\d+)/gm)) {
    try {
      if (!existsSync(`/proc/${pid}`)) run('ip', 'netns', 'del', name);
    } catch {
      // Somebody else removed it.
    }
  }
}

/** The third number of a network that this machine is not in yet. */
function freeNumber(): number {
  const taken = `${run('ip', '-o', 'addr')}`;
  let number = process.pid % 250;
  for (let i = 0; i < 250 && taken.includes(` 10.77.${number}.1/`); i++) number = (number + 1) % 250;
  return number;
}

export function openNamespace(): Namespace {
  removeLeftOvers();
  const number = freeNumber();
  const name = `arcus-${process.pid}`;
  const [near, far] = [`arc${process.pid % 1_000_000}a`, `arc${process.pid % 1_000_000}b`];
  const [here, there] = [`10.77.${number}.1`, `10.77.${number}.2`];
  const inside = (...args: string[]) => run('ip', 'netns', 'exec', name, ...args);
  const close = () => {
    try {
      run('ip', 'netns', 'del', name);
    } catch {
      // Never made.
    }
  };
  try {
    run('ip', 'netns', 'add', name);
    run('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far);
    run('ip', 'link', 'set', far, 'netns', name);
    run('ip', 'addr', 'add', `${here}/24`, 'dev', near);
    run('ip', 'link', 'set', near, 'up');
    inside('ip', 'addr', 'add', `${there}/24`, 'dev', far);
    inside('ip', 'link', 'set', far, 'up');
    inside('ip', 'link', 'set', 'lo', 'up');
  } catch (error) {
    close();
    throw error;
  }
  process.once('exit', close);
  return {
    here,
    there,
    wrap: (command, args) => ({ command: 'ip', args: ['netns', 'exec', name, command, ...args] }),
    cut(port) {
      inside('iptables', '-A', 'OUTPUT', '-p', 'tcp', '--dport', String(port), '-j', 'DROP');
      inside('iptables', '-A', 'INPUT', '-p', 'tcp', '--sport', String(port), '-j', 'DROP');
    },
    heal: () => void inside('iptables', '-F'),
    close() {
      process.off('exit', close);
      close();
    },
  };
}

/** Passes on what comes to a port at `host` to a port of 127.0.0.1. */
export async function passOn(host: string, to: number): Promise<{ port: number; close(): void }> {
  const port = await freePort();
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return {
    port,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
