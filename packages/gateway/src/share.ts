type Json = Record<string, unknown>;

/**
 * `next` with every part that equals its counterpart in `before` taken from there; `before` itself when nothing
 * differs. Of lists the beginning and the end have counterparts, up to and behind what differs. `next` must be nobody
 * else's yet: it is changed.
 */
export function share(before: unknown, next: unknown): unknown {
  if (before === next) return before;
  if (typeof before !== 'object' || typeof next !== 'object' || before === null || next === null) return next;
  if (Array.isArray(before) || Array.isArray(next)) {
    return Array.isArray(before) && Array.isArray(next) ? shareList(before, next) : next;
  }
  const keys = Object.keys(next);
  let same = keys.length === Object.keys(before).length;
  for (const key of keys) {
    if (!Object.hasOwn(before, key)) {
      same = false;
      continue;
    }
    const old = (before as Json)[key];
    const shared = share(old, (next as Json)[key]);
    if (shared !== (next as Json)[key]) (next as Json)[key] = shared;
    same &&= shared === old;
  }
  return same ? before : next;
}

function shareList(before: readonly unknown[], next: unknown[]): readonly unknown[] {
  const most = Math.min(before.length, next.length);
  let from = 0;
  for (let same = true; from < most && same; ) {
    next[from] = share(before[from], next[from]);
    same = next[from] === before[from];
    if (same) from++;
  }
  if (from === before.length && from === next.length) return before;
  for (let end = 1; end <= most - from; end++) {
    const [old, at] = [before[before.length - end], next.length - end];
    next[at] = share(old, next[at]);
    if (next[at] !== old) break;
  }
  return next;
}
