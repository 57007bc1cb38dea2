/**
 * How large a regular expression in RE2 syntax becomes when its counted repetitions are written out: `[a-z]{1,63}` is 63.
 * RE2 runs in linear time, but it writes them out, and a thousand characters can stand for a million. A character class
 * is one; a Unicode class takes as long as twenty others. What is no expression has any size: compiling it says why.
 */
export function regexSize(pattern: string): number {
  /** Sizes of the groups that are open, the outermost first. */
  const groups = [0];
  /** Of what a repetition would repeat. */
  let atom = 0;
  const add = (size: number) => {
    atom = size;
    groups[groups.length - 1]! += size;
  };
  for (let i = 0; i < pattern.length; ) {
    const c = pattern[i]!;
    const repeat = c === '{' ? REPEAT.exec(pattern.slice(i, i + 16)) : null;
    if (repeat) {
      const times = Math.max(1, Number(repeat[1]), Number(repeat[2] ?? 0));
      groups[groups.length - 1]! += atom * (times - 1);
      atom *= times;
      i += repeat[0].length;
    } else if (pattern.startsWith('\\Q', i)) {
      const end = pattern.indexOf('\\E', i + 2);
      const stop = end < 0 ? pattern.length : end;
      for (i += 2; i < stop; i++) add(1);
      i = stop + 2;
    } else if (c === '\\') {
      add(/[pP]/.test(pattern[i + 1] ?? '') ? UNICODE : 1);
      i += 2;
    } else if (c === '[') {
      const end = endOfClass(pattern, i);
      add(1 + UNICODE * (pattern.slice(i, end).match(/\\[pP]/g)?.length ?? 0));
      i = end;
    } else if (c === '(') {
      // `(?i)` is no part: what follows may still repeat what is in front of it.
      const flags = /^\(\?[a-zA-Z-]*\)/.exec(pattern.slice(i));
      if (!flags) groups.push(1);
      i += flags ? flags[0].length : 1;
    } else if (c === ')' && groups.length > 1) {
      add(groups.pop()!);
      i++;
    } else {
      // Repetitions without a number keep what they repeat, and may be repeated with it: `a*(?i){7}`.
      if (c === '*' || c === '+' || c === '?') {
        atom += 1;
        groups[groups.length - 1]! += 1;
      } else add(1);
      i++;
    }
  }
  return groups.reduce((sum, size) => sum + size, 0);
}

const REPEAT = /^\{(\d{1,6})(?:,(\d{0,6}))?\}/;
const UNICODE = 20;

/** Behind the `]`. The first character of a class may be a `]` that ends nothing. */
function endOfClass(pattern: string, start: number): number {
  let i = start + 1;
  if (pattern[i] === '^') i++;
  for (let first = true; i < pattern.length; first = false) {
    const c = pattern[i];
    if (c === ']' && !first) return i + 1;
    const named = c === '[' ? /^\[:\^?\w*:\]/.exec(pattern.slice(i, i + 32)) : null;
    i += named ? named[0].length : c === '\\' ? 2 : 1;
  }
  return pattern.length;
}
