/** What a row is, and how its proxies are compared: in turns, so that whatever drifts hits all of them. */
import { emptyLogs, type Lab, type ProxyUnderTest } from './lab.ts';
import type { Program } from './machine.ts';
import { median } from './measure.ts';

export interface Result {
  readonly name: string;
  readonly unit: string;
  /** Median over the rounds. */
  readonly arcus: number;
  /** Medians of the others, by name. */
  readonly peers: Record<string, number>;
  /** Arcus against each: the median of each round's quotient. */
  readonly ratio: Record<string, number>;
  /** Every measurement, by name, in the order of the rounds. */
  readonly runs: Record<string, number[]>;
  /** What is to be reached: `arcus` a value at most, or a ratio to a peer at most. */
  readonly target: Record<string, number>;
  /** What is to be reached at least, as `target`. */
  readonly floor?: Record<string, number>;
}

export interface Row {
  readonly name: string;
  readonly description: string;
  readonly programs: readonly Program[];
  /** Measures time that passes instead of CPU: runs before all else on the machine, where that is allowed. */
  readonly urgent?: boolean;
  /** Part of the page that shows it; `bench` when absent. */
  readonly page?: 'bench' | 'control';
  run(lab: Lab): Promise<Result[]>;
}

export interface Comparison {
  name: string;
  unit: string;
  target?: Record<string, number>;
  /** Arcus first. */
  proxies: readonly ProxyUnderTest[];
  rounds?: number;
  warm(proxy: ProxyUnderTest): Promise<unknown>;
  measure(proxy: ProxyUnderTest): Promise<number>;
}

export async function compare(comparison: Comparison): Promise<Result> {
  const { name, unit, proxies, rounds = 5, target = {} } = comparison;
  for (const proxy of proxies) {
    await comparison.warm(proxy);
    emptyLogs(proxy);
  }
  const runs: Record<string, number[]> = Object.fromEntries(proxies.map((proxy) => [proxy.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const proxy of proxies) {
      runs[proxy.name]!.push(await comparison.measure(proxy));
      emptyLogs(proxy);
    }
  }
  return summarize(name, unit, runs, proxies[0]!.name, target);
}

/** The result of what was measured; `subject` is the one that stands in the column of Arcus. */
export function summarize(
  name: string,
  unit: string,
  runs: Record<string, number[]>,
  subject: string,
  target: Record<string, number>,
): Result {
  const own = runs[subject]!;
  const others = Object.entries(runs).filter(([peer]) => peer !== subject);
  return {
    name,
    unit,
    arcus: median(own),
    peers: Object.fromEntries(others.map(([peer, values]) => [peer, median(values)])),
    ratio: Object.fromEntries(others.map(([peer, values]) => [peer, median(values.map((v, i) => own[i]! / v))])),
    runs,
    target,
  };
}
