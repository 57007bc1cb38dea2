import { refsOf } from './check.ts';
import type { Graph } from './compile.ts';
import { type AnyObject, kindOf } from './config.ts';
import { type Family, families, type LiveObject } from './kind.ts';

export interface ExplainedObject {
  readonly type: string;
  /** What it does, in one sentence. */
  readonly does: string;
  /** `<family>/<name>` of each object it points to. */
  readonly uses?: readonly string[];
}

export type ExplainedGraph = { readonly tenant: string; readonly version: number; readonly status: string } & {
  readonly [F in Family]: Readonly<Record<string, ExplainedObject>>;
};

/** The graph in words, as plain JSON: for people, golden files and diffs. Policies stand in the order they apply. */
export function explainGraph(graph: Graph): ExplainedGraph {
  const explained = families.map((family) => {
    const configs = new Map((graph.config[family] as readonly AnyObject[]).map((o) => [o.name, o]));
    const list = [...(graph[family].values() as Iterable<LiveObject>)];
    if (family !== 'policies') list.sort((a, b) => (a.name < b.name ? -1 : 1));
    return [family, Object.fromEntries(list.map((o) => [o.name, explain(family, o, configs.get(o.name)!)]))];
  });
  return {
    tenant: graph.tenant,
    version: graph.version,
    status: graph.status,
    ...(Object.fromEntries(explained) as Record<Family, Record<string, ExplainedObject>>),
  };
}

function explain(family: Family, object: LiveObject, config: AnyObject): ExplainedObject {
  const uses = [...new Set(refsOf({ family, object: config }).map((r) => `${r.family}/${r.name}`))];
  const does = object.explain?.() ?? kindOf(family, object.type)?.description ?? '';
  return { type: object.type, does, ...(uses.length > 0 ? { uses } : {}) };
}
