/** Reads a CPU profile of V8 (`--cpu-prof`): which functions the time was spent in, without those they called. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './root.ts';

interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

/** The profiles of a folder as text: the functions with the most time of their own, as a share of the busy time. */
export function topFunctions(folder: string, count = 45): string {
  const own = new Map<string, number>();
  let busy = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile: Profile = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const labels = new Map(
      profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
        const where = url ? `${url.replace(`file://${root}/`, '')}:${lineNumber + 1}` : '';
        return [id, `${functionName || '(anonymous)'} ${where}`];
      }),
    );
    for (const [i, id] of profile.samples.entries()) {
      const label = labels.get(id)!;
      if (label.startsWith('(idle)')) continue;
      const time = Math.max(0, profile.timeDeltas[i]!);
      busy += time;
      own.set(label, (own.get(label) ?? 0) + time);
    }
  }
  const top = [...own].sort((a, b) => b[1] - a[1]).slice(0, count);
  return top.map(([label, time]) => `${((time / busy) * 100).toFixed(1).padStart(5)} %  ${label}`).join('\n');
}
