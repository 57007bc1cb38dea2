import { comparing } from './canonical.ts';
import { checking, entriesOf, refsOf } from './check.ts';
import { type AnyObject, type Config, configOf, type Entry, kindOf, type TenantInfo } from './config.ts';
import { FaultError, pointer } from './fault.ts';
import type {
  Auditor,
  BuildContext,
  Escaper,
  Family,
  GraphHandle,
  Kind,
  LiveObject,
  LiveOf,
  Made,
  Policy,
  Resolver,
  Server,
  UserGroup,
} from './kind.ts';
import { buildOrder, nodeKey } from './order.ts';
import { parsedAs } from './parse.ts';
import type { Services } from './services.ts';
import { run, runSliced, type Steps } from './slices.ts';

export interface CompileDeps {
  readonly services: Services;
  /**
   * Clear text of a sealed value; throws when the key is missing or the value was sealed for another place. `place`
   * is `<tenant>/<family>/<name>/<field path>`.
   */
  unseal(value: string, place: string): string;
  /** False for the dry run of a document as a person writes it (see `CheckOptions`); true when absent. */
  readonly stored?: boolean;
}

export interface Graph extends GraphHandle {
  readonly info: TenantInfo;
  /** What the graph was built from, as the kinds of its objects keep it (`Kind.kept`). */
  readonly config: Config;
  readonly servers: ReadonlyMap<string, Server>;
  readonly escapers: ReadonlyMap<string, Escaper>;
  readonly resolvers: ReadonlyMap<string, Resolver>;
  readonly user_groups: ReadonlyMap<string, UserGroup>;
  readonly auditors: ReadonlyMap<string, Auditor>;
  /** In the order they apply: by priority, then name. */
  readonly policies: readonly Policy[];
  /** Sessions that still run on it. */
  readonly sessions: number;
  /** No new session will come: objects that no newer graph shares are closed when the last session has ended. */
  retire(): void;
}

/** A live object and the graphs that hold it: closed when the last of them is gone. */
class Held {
  readonly object: LiveObject;
  /** As its kind keeps it: what was kept in another form equals no config that is parsed anew, and is built again. */
  readonly config: AnyObject;
  graphs = 1;

  constructor(object: LiveObject, config: AnyObject) {
    this.object = object;
    this.config = config;
  }

  /** What a new object of that type may take over. */
  of(type: string): LiveObject | undefined {
    return this.graphs > 0 && this.object.type === type ? this.object : undefined;
  }

  letGo(): void {
    if (--this.graphs === 0) this.object.close?.();
  }
}

const NONE: ReadonlyMap<string, any> = new Map();

class CompiledGraph implements Graph {
  readonly info: TenantInfo;
  config: Config;
  readonly version: number;
  // Most tenants have none of some of these.
  servers: ReadonlyMap<string, Server> = NONE;
  escapers: ReadonlyMap<string, Escaper> = NONE;
  resolvers: ReadonlyMap<string, Resolver> = NONE;
  user_groups: ReadonlyMap<string, UserGroup> = NONE;
  auditors: ReadonlyMap<string, Auditor> = NONE;
  readonly policies: Policy[] = [];
  /** The compiler's own: all objects by `<family>/<name>`. */
  readonly held = new Map<string, Held>();
  readonly services: Services;
  sessions = 0;
  #retired = false;
  #dead = false;

  constructor(info: TenantInfo, version: number, config: Config, services: Services) {
    this.info = info;
    this.version = version;
    this.config = config;
    this.services = services;
  }

  get tenant(): string {
    return this.info.tenant_id;
  }

  get limits(): TenantInfo['resource_limits'] {
    return this.info.resource_limits;
  }

  get status(): TenantInfo['status'] {
    return this.info.status;
  }

  retain(): void {
    this.sessions++;
  }

  release(): void {
    this.sessions--;
    this.#freeIfDone();
  }

  retire(): void {
    this.#retired = true;
    this.#freeIfDone();
  }

  #freeIfDone(): void {
    if (!this.#retired || this.sessions > 0 || this.#dead) return;
    this.#dead = true;
    // Users before what they use.
    for (const held of [...this.held.values()].reverse()) held.letGo();
  }
}

/**
 * Builds the live objects of a config; nothing listens, dials or starts a timer. Throws FaultError with all faults.
 * Objects of `previous` whose config and whose references did not change are taken over, warm as they are; only
 * servers are always new. The caller must `retire()` the graph in the end, also one that never served.
 */
export function compile(info: TenantInfo, version: number, config: Config, deps: CompileDeps, previous?: Graph): Graph {
  return run(compiling(info, version, config, deps, previous));
}

/** As `compile`, in slices that leave the event loop free in between. */
export function compileSliced(
  info: TenantInfo,
  version: number,
  config: Config,
  deps: CompileDeps,
  previous?: Graph,
): Promise<Graph> {
  return runSliced(compiling(info, version, config, deps, previous));
}

function* compiling(
  info: TenantInfo,
  version: number,
  config: Config,
  deps: CompileDeps,
  previous: Graph | undefined,
): Steps<Graph> {
  const old = previous instanceof CompiledGraph && previous.services === deps.services ? previous : undefined;
  const entries = entriesOf(config);
  const unchanged = new Set<AnyObject>();
  const made: Made = new Map();
  for (const { family, name, object } of entries) {
    const before = old?.held.get(nodeKey(family, name));
    if (before && object && (yield* comparing(before.config, object))) unchanged.add(object);
    yield;
  }
  const before = (family: Family, name: string) => old?.held.get(nodeKey(family, name));
  const options = deps.stored === undefined ? {} : { stored: deps.stored };
  const faults = yield* checking(entries, info.tenant_id, options, { checked: unchanged, made, before });
  if (faults.length > 0) throw new FaultError(faults);

  const graph = new CompiledGraph(info, version, config, deps.services);
  try {
    const nodes = entries
      .filter((e): e is Entry & { object: AnyObject } => e.object?.enabled === true)
      .filter((e) => e.family !== 'servers' || info.status !== 'inactive')
      .map((e) => ({ ...e, refs: refsOf({ family: e.family, object: e.object }) }));
    const { order } = buildOrder(nodes);
    const unseal = unsealerOf(deps, info.tenant_id);
    // Servers last: they see all policies.
    for (const node of order)
      if (node.family !== 'servers') yield* build(graph, node, unseal, made, old, unchanged.has(node.object));
    graph.policies.sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
    for (const node of order) if (node.family === 'servers') yield* build(graph, node, unseal, made, undefined, false);
    graph.config = yield* keptConfig(entries, graph.held);
    return graph;
  } catch (error) {
    graph.retire();
    throw error;
  }
}

/** A function of its own: a kind may keep it for as long as its object lives, and it must keep nothing else alive. */
const unsealerOf =
  (deps: CompileDeps, tenant: string): BuildContext['unseal'] =>
  (value, place) =>
    deps.unseal(value, `${tenant}/${place}`);

class Building implements BuildContext {
  readonly tenant: string;
  readonly services: Services;
  readonly made: Made;
  readonly policies: readonly Policy[];
  readonly unseal: BuildContext['unseal'];
  readonly #key: string;
  readonly #refs: ReadonlySet<string>;
  readonly #held: ReadonlyMap<string, Held>;
  readonly #previous: LiveObject | undefined;

  constructor(
    graph: CompiledGraph,
    key: string,
    refs: ReadonlySet<string>,
    made: Made,
    unseal: BuildContext['unseal'],
    previous: LiveObject | undefined,
  ) {
    this.tenant = graph.info.tenant_id;
    this.services = graph.services;
    this.made = made;
    this.policies = graph.policies;
    this.unseal = unseal;
    this.#key = key;
    this.#refs = refs;
    this.#held = graph.held;
    this.#previous = previous;
  }

  get<F extends Family>(family: F, name: string): LiveOf[F] {
    const ref = nodeKey(family, name);
    const held = this.#refs.has(ref) ? this.#held.get(ref) : undefined;
    if (!held) throw new Error(`${this.#key} asks for ${ref}, which it does not declare in refs`);
    return held.object as LiveOf[F];
  }

  previous(): LiveObject | undefined {
    return this.#previous;
  }
}

type Buildable = Entry & { object: AnyObject; refs: readonly { family: Family; name: string; pointer: string }[] };

function* build(
  graph: CompiledGraph,
  node: Buildable,
  unseal: BuildContext['unseal'],
  made: Made,
  old: CompiledGraph | undefined,
  unchanged: boolean,
): Steps<void> {
  const key = nodeKey(node.family, node.name);
  const refs = new Set(node.refs.map((r) => nodeKey(r.family, r.name)));
  const before = old?.held.get(key);
  const reusable =
    unchanged &&
    before !== undefined &&
    before.graphs > 0 &&
    [...refs].every((ref) => graph.held.get(ref) === old!.held.get(ref));
  if (reusable) {
    before.graphs++;
    graph.held.set(key, before);
    file(graph, node.family, before.object);
    yield;
    return;
  }
  const kind = kindOf(node.family, node.object.type) as Kind;
  const ctx = new Building(graph, key, refs, made, unseal, before?.of(node.object.type));
  let object: LiveObject;
  try {
    const created = kind.create(node.object, ctx);
    object = isSteps(created) ? yield* created : created;
  } catch (error) {
    // What a kind cannot build is a fault of its config: a secret sealed with another key, for one.
    const message = `cannot be built: ${error instanceof Error ? error.message : String(error)}`;
    throw new FaultError([{ pointer: pointer(node.family, node.index), code: 'build_failed', message }]);
  }
  graph.held.set(key, new Held(object, keep(kind, node.object, object)));
  file(graph, node.family, object);
  if (node.family === 'servers') (object as Server).graph = graph;
  yield;
}

function keep(kind: Kind, config: AnyObject, live: LiveObject): AnyObject {
  const kept = (kind.kept?.(config, live as never) ?? config) as AnyObject;
  if (kept !== config) parsedAs(config, kept);
  return kept;
}

/** A config as the kinds of its objects keep it; disabled objects were not built, and stay as they are. */
function* keptConfig(entries: readonly Entry[], held: ReadonlyMap<string, Held>): Steps<Config> {
  const kept: Entry[] = [];
  for (const { family, index, name, object } of entries) {
    kept.push({ family, index, name, object: held.get(nodeKey(family, name))?.config ?? object });
    if (kept.length % 512 === 0) yield;
  }
  return configOf(kept);
}

function isSteps(created: LiveObject | Generator<void, LiveObject>): created is Generator<void, LiveObject> {
  return typeof (created as Generator).next === 'function';
}

/** Puts the object where the pipeline finds it. */
function file(graph: CompiledGraph, family: Family, object: LiveObject): void {
  if (family === 'policies') {
    graph.policies.push(object as Policy);
    return;
  }
  if (graph[family] === NONE) graph[family] = new Map<string, any>();
  (graph[family] as Map<string, any>).set(object.name, object);
}
