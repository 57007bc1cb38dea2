import { type Fault, pointer } from './fault.ts';
import type { Family, Ref } from './kind.ts';

/** An object and what it points to. */
export interface Node {
  readonly family: Family;
  readonly name: string;
  readonly index: number;
  readonly refs: readonly Ref[];
}

export const nodeKey = (family: Family, name: string): string => `${family}/${name}`;

/**
 * Nodes so that each comes after all it points to, and a fault for each loop, spelled out. Iterative: a chain of
 * 100,000 routers must not exhaust the stack. References to nodes that are not there are passed over.
 */
export function buildOrder<N extends Node>(nodes: readonly N[]): { order: N[]; faults: Fault[] } {
  const byKey = new Map(nodes.map((n) => [nodeKey(n.family, n.name), n]));
  const state = new Map<N, 'open' | 'done'>();
  const order: N[] = [];
  const faults: Fault[] = [];
  for (const root of nodes) {
    if (state.has(root)) continue;
    const path: { node: N; next: number }[] = [{ node: root, next: 0 }];
    state.set(root, 'open');
    while (path.length > 0) {
      const top = path[path.length - 1]!;
      const ref = top.node.refs[top.next++];
      if (ref === undefined) {
        state.set(top.node, 'done');
        order.push(top.node);
        path.pop();
        continue;
      }
      const target = byKey.get(nodeKey(ref.family, ref.name));
      if (!target) continue;
      const seen = state.get(target);
      if (seen === undefined) {
        state.set(target, 'open');
        path.push({ node: target, next: 0 });
      } else if (seen === 'open') {
        const names = path.slice(path.findIndex((p) => p.node === target)).map((p) => p.node.name);
        faults.push({
          pointer: pointer(top.node.family, top.node.index) + ref.pointer,
          code: 'loop',
          message: `${top.node.family} form a loop: ${[...names, target.name].join(' -> ')}`,
        });
      }
    }
  }
  return { order, faults };
}
