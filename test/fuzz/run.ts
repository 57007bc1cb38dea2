import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutate, Random, scratch } from './mutate.ts';
import { type Target, targets } from './targets.ts';

export interface FuzzResult {
  target: string;
  inputs: number;
  accepted: number;
  perSecond: number;
}

/** Seeds of a target: the files `seeds/<target, spaces as ->/*`, byte for byte. */
export function seedsOf(target: Target): Buffer[] {
  const folder = join(import.meta.dirname, 'seeds', target.name.replaceAll(' ', '-'));
  return readdirSync(folder)
    .sort()
    .map((file) => readFileSync(join(folder, file)));
}

/** An input that made a target fail. */
export class Failure extends Error {
  readonly input: Buffer;
  constructor(target: Target, input: Buffer, seed: number, n: number, cause: unknown) {
    const said = cause instanceof Error ? cause.message : String(cause);
    super(`${target.name}, seed ${seed}, input ${n}: ${said}\n${JSON.stringify(input.toString('latin1'))}`, { cause });
    this.input = input;
  }
}

/** One input may keep the processor busy for so long, ms: none does honest work for a tenth of it. */
const SLOW_MS = 1000;

/** Time that this thread has worked, ms: on a busy machine the clock goes on while nothing runs here. */
function worked(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/**
 * Gives `count` mutated inputs to each target, `tell` after each slice of them. Throws Failure.
 * @param seed start of the generator: the same one gives the same inputs
 */
export function fuzz(count: number, seed: number, tell: (line: string) => void = () => {}): FuzzResult[] {
  const results: FuzzResult[] = [];
  for (const target of targets) {
    const random = new Random(seed);
    const seeds = seedsOf(target);
    const out = scratch();
    const started = performance.now();
    let accepted = 0;
    for (let n = 0; n < count; n++) {
      const input = out.subarray(0, n < seeds.length ? seeds[n]!.copy(out) : mutate(random, seeds, out));
      const before = n % 64 === 0 ? worked() : -1;
      try {
        if (target.run(input, random)) accepted++;
        if (before >= 0 && worked() - before > SLOW_MS) throw new Error('took more than a second');
      } catch (error) {
        throw new Failure(target, Buffer.from(input), seed, n, error);
      }
      if (n % 500_000 === 499_999) {
        const rate = Math.round((n + 1) / ((performance.now() - started) / 1000));
        tell(`${target.name}: ${n + 1} inputs, ${accepted} accepted, ${rate}/s, ${rss()} MiB`);
      }
    }
    const perSecond = Math.round(count / ((performance.now() - started) / 1000));
    results.push({ target: target.name, inputs: count, accepted, perSecond });
  }
  return results;
}

export const rss = () => Math.round(process.memoryUsage.rss() / 1024 / 1024);
