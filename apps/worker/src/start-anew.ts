/** What can be said only when a process starts; so this one starts itself again with what it lacks of it. */
import { compileCache } from '@arcus/control/compile-cache.ts';

/**
 * How large the young part of V8's heap may get. By itself V8 lets it grow to two times 64 MiB while thousands of
 * releases are loaded. Nearly all of that stays, so each collection moves a quarter of it while the event loop waits; and
 * the memory is never given back. With 16 MiB a pause is a third as long, and requests, whose garbage dies at once, cost
 * the same.
 */
const OPTION = '--max-semi-space-size';
const MIB = 16;

/** What Node was started with. */
export interface Given {
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What is to be added; null when there is all, be it that somebody has chosen otherwise. V8 takes "_" for "-". */
export function lacking({ execArgv, env }: Given): { options: string[]; env: Record<string, string> } | null {
  const chosen = [...execArgv, ...(env.NODE_OPTIONS ?? '').split(/\s+/)].some((option) =>
    option.replaceAll('_', '-').startsWith(OPTION),
  );
  const cache = compileCache(env);
  return chosen && Object.keys(cache).length === 0
    ? null
    : { options: chosen ? [] : [`${OPTION}=${MIB}`], env: { ...cache } };
}

/** Starts this program again in the same process, with what it lacks; comes back when it has all. */
export function startAnew(): void {
  const more = lacking({ execArgv: process.execArgv, env: process.env });
  // Windows knows no such thing: there it goes on as it is.
  if (!more || process.platform === 'win32' || !process.execve) return;
  const args = [process.execPath, ...process.execArgv, ...more.options, ...process.argv.slice(1)];
  process.execve(process.execPath, args, { ...process.env, ...more.env });
}
