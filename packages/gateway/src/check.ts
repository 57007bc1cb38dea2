import { type AnyObject, type Config, configOf, type Entry, kindOf, parseEntries } from './config.ts';
import { type Fault, pointer } from './fault.ts';
import { type Family, families, type Kind, type ListenAddress, type LiveObject, type Made, type Ref } from './kind.ts';
import { canonicalIp } from './match/ip.ts';
import { buildOrder, type Node, nodeKey } from './order.ts';
import { MAX_NAMES } from './resolvers/cache.ts';
import { writeOnlyFields } from './secrets.ts';
import { readListen } from './servers/listen.ts';
import { run, runSliced, type Steps } from './slices.ts';

export interface CheckOptions {
  /**
   * True (the default) for what comes out of a store or goes into one: a field that must never be stored is a fault.
   * False for a document as a person writes it.
   */
  readonly stored?: boolean;
}

/** What a schema cannot say of one object and of the whole: all faults at once, with pointers into the config. */
export function check(config: Config, tenant: string, options: CheckOptions = {}): Fault[] {
  return run(checking(entriesOf(config), tenant, options));
}

/** `parseConfig` and `check` in one, so that a fault of the one kind hides none of the other. */
export function examine(
  input: unknown,
  tenant: string,
  options: CheckOptions = {},
): { config: Config | null; faults: Fault[] } {
  return run(examining(input, tenant, options));
}

/** As `examine`, in slices that leave the event loop free in between. */
export function examineSliced(
  input: unknown,
  tenant: string,
  options: CheckOptions = {},
): Promise<{ config: Config | null; faults: Fault[] }> {
  return runSliced(examining(input, tenant, options));
}

function* examining(input: unknown, tenant: string, options: CheckOptions) {
  const { entries, faults } = yield* parseEntries(input);
  for (const fault of yield* checking(entries, tenant, options)) faults.push(fault);
  return { config: faults.length === 0 ? configOf(entries) : null, faults };
}

export function entriesOf(config: Config): Entry[] {
  return families.flatMap((family) =>
    (config[family] as readonly AnyObject[]).map((object, index) => ({ family, index, name: object.name, object })),
  );
}

interface Checked extends Node {
  readonly object: AnyObject;
}

/** An entry's references; none when it has faults of its own. */
export function refsOf(entry: { family: Entry['family']; object: AnyObject }): readonly Ref[] {
  return kindOf(entry.family, entry.object.type)?.refs?.(entry.object) ?? [];
}

/** What the compiler knows and wants. */
export interface Compiling {
  /** Objects that the same check has passed before, alone. */
  readonly checked: ReadonlySet<AnyObject>;
  readonly made: Made;
  /** What an object was in the graph that is replaced, which has passed the same check. */
  readonly before: (family: Family, name: string) => { object: LiveObject; config: AnyObject } | undefined;
}

export function* checking(
  entries: readonly Entry[],
  tenant: string,
  options: CheckOptions,
  { checked, made, before }: Partial<Compiling> = {},
): Steps<Fault[]> {
  const faults: Fault[] = [];
  const at = (e: { family: string; index: number }) => pointer(e.family, e.index);
  const named = new Map<string, Entry>();
  for (const e of entries) {
    if (!e.name) continue;
    const first = named.get(nodeKey(e.family, e.name));
    if (!first) named.set(nodeKey(e.family, e.name), e);
    else {
      const message = `the name "${e.name}" is taken by ${at(first)}`;
      faults.push({ pointer: `${at(e)}/name`, code: 'duplicate_name', message });
    }
  }
  yield;

  const nodes: Checked[] = [];
  for (const e of entries) {
    if (!e.object) continue;
    const { object } = e;
    const kind = kindOf(e.family, object.type) as Kind;
    const passed = checked?.has(object) ?? false;
    const known = before?.(e.family, object.name);
    const previous = known?.object.type === object.type ? known.object : undefined;
    const own = passed ? [] : (kind.check?.(object, { tenant, made, previous }) ?? []);
    for (const fault of own) {
      if (fault) faults.push({ ...fault, pointer: at(e) + fault.pointer });
      else yield;
    }
    if (!passed && (options.stored ?? true)) {
      for (const field of yield* writeOnlyFields(e.family, object, previous && known?.config)) {
        const message = 'must not be stored in clear; send it to the API, which keeps only a hash';
        faults.push({ pointer: at(e) + field, code: 'clear_secret', message });
      }
    }
    const refs = refsOf({ family: e.family, object });
    for (const ref of refs) {
      const target = named.get(nodeKey(ref.family, ref.name));
      const where = at(e) + ref.pointer;
      if (!target) {
        const message = `there is no "${ref.name}" in ${ref.family}`;
        faults.push({ pointer: where, code: 'unknown_reference', message });
      } else if (object.enabled && target.object && !target.object.enabled) {
        const message = `"${ref.name}" in ${ref.family} is disabled`;
        faults.push({ pointer: where, code: 'disabled_reference', message });
      }
    }
    nodes.push({ family: e.family, name: e.name, index: e.index, object, refs });
    yield;
  }
  for (const fault of buildOrder(nodes.filter((n) => n.object.enabled)).faults) faults.push(fault);
  yield;
  for (const fault of listenFaults(nodes)) faults.push(fault);
  const tooMany = cacheFault(nodes);
  if (tooMany) faults.push(tooMany);
  return faults;
}

/** Addresses that the enabled servers of a config listen on, with where that is said. */
export function listenAddresses(config: Config): (ListenAddress & { server: string; pointer: string })[] {
  return config.servers.flatMap((object, index) => {
    const listen = listenOf({ family: 'servers', index, object });
    return listen && object.enabled ? [{ ...listen, server: object.name }] : [];
  });
}

/** Every server kind says in `listen.address` where it listens. */
function listenOf(e: { family: string; index: number; object: AnyObject }) {
  const { listen } = e.object as { listen?: { address?: unknown } };
  const address = typeof listen?.address === 'string' ? readListen(listen.address) : null;
  return address && { ...address, pointer: pointer(e.family, e.index, 'listen', 'address') };
}

/**
 * Would the kernel refuse to bind both? A wildcard takes its port on every address; '::' also takes IPv4
 * (dual stack, IPV6_V6ONLY off).
 */
export function listenConflict(a: ListenAddress, b: ListenAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  const [x, y] = [canonicalIp(a.host) ?? a.host, canonicalIp(b.host) ?? b.host];
  if (x === y || x === '::' || y === '::') return true;
  return (x === '0.0.0.0' && !y.includes(':')) || (y === '0.0.0.0' && !x.includes(':'));
}

function listenFaults(nodes: readonly Checked[]): Fault[] {
  const faults: Fault[] = [];
  const byPort = new Map<number, (ListenAddress & { name: string })[]>();
  for (const node of nodes) {
    if (node.family !== 'servers' || !node.object.enabled) continue;
    const listen = listenOf(node);
    if (!listen) continue;
    const others = byPort.get(listen.port);
    const other = others?.find((o) => listenConflict(o, listen));
    if (other) {
      faults.push({
        pointer: listen.pointer,
        code: 'listen_conflict',
        message: `server "${other.name}" listens on ${other.host} port ${other.port} already`,
      });
    }
    if (others) others.push({ ...listen, name: node.name });
    else byPort.set(listen.port, [{ ...listen, name: node.name }]);
  }
  return faults;
}

/** Every resolver kind says in `max_entries` how many names it keeps; the one that goes beyond the bound is at fault. */
function cacheFault(nodes: readonly Checked[]): Fault | undefined {
  let sum = 0;
  for (const { family, index, object } of nodes) {
    if (family !== 'resolvers' || !object.enabled) continue;
    sum += (object as { max_entries?: number }).max_entries ?? 0;
    if (sum <= MAX_NAMES) continue;
    const message = `all resolvers together may keep ${MAX_NAMES} names; up to this one they keep ${sum}`;
    return { pointer: pointer('resolvers', index, 'max_entries'), code: 'too_many_entries', message };
  }
  return undefined;
}
