/**
 * Positions in a JSON text that JSON.parse has accepted: which keys are there twice, and where a value begins. One
 * pass over the text, without recursion.
 */
export interface JsonScan {
  /** Path of each key that its object has already, with the offset of the repetition. */
  readonly duplicates: readonly { readonly path: readonly string[]; readonly offset: number }[];
  /** Offset of the deepest value on the way to `path` (of the key, for a member of an object). */
  readonly found: number;
}

interface Frame {
  readonly keys: Set<string> | null;
  key: string;
  index: number;
  /** Does this container lie on the wanted path? */
  readonly wanted: boolean;
}

export function scanJson(text: string, wanted: readonly string[] = []): JsonScan {
  const duplicates: { path: string[]; offset: number }[] = [];
  const stack: Frame[] = [];
  let found = 0;
  let depth = 0;
  let expectKey = false;
  const path = () => stack.map((f) => (f.keys ? f.key : String(f.index)));
  /** A value begins: is it on the wanted path? */
  const enter = (offset: number, keyOffset: number): boolean => {
    const top = stack[stack.length - 1];
    if (top === undefined) return true;
    const at = top.keys ? top.key : String(top.index);
    if (!top.wanted || wanted[stack.length - 1] !== at) return false;
    if (stack.length > depth) {
      depth = stack.length;
      found = top.keys ? keyOffset : offset;
    }
    return true;
  };
  let keyOffset = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 34) {
      const start = i;
      i = stringEnd(text, i);
      if (expectKey) {
        const top = stack[stack.length - 1]!;
        top.key = JSON.parse(text.slice(start, i + 1)) as string;
        keyOffset = start;
        expectKey = false;
        if (top.keys!.has(top.key)) duplicates.push({ path: path(), offset: start });
        top.keys!.add(top.key);
      } else enter(start, keyOffset);
    } else if (c === 123 || c === 91) {
      const on = enter(i, keyOffset);
      stack.push({ keys: c === 123 ? new Set() : null, key: '', index: 0, wanted: on });
      expectKey = c === 123;
    } else if (c === 125 || c === 93) {
      stack.pop();
      expectKey = false;
    } else if (c === 44) {
      const top = stack[stack.length - 1]!;
      if (top.keys) expectKey = true;
      else top.index++;
    } else if (c > 32 && c !== 58) {
      enter(i, keyOffset);
      while (i + 1 < text.length && !',]} \t\r\n'.includes(text[i + 1]!)) i++;
    }
  }
  return { duplicates, found };
}

function stringEnd(text: string, from: number): number {
  for (let i = from + 1; ; i++) {
    const c = text.charCodeAt(i);
    if (c === 92) i++;
    else if (c === 34) return i;
  }
}
