/**
 * Offset of a value in a JSON text that was read without a fault: of the deepest value on the way to `path` that is
 * there (of its key, for a member of an object). One pass over the text, without recursion.
 */
export function offsetIn(text: string, path: readonly string[]): number {
  const stack: Frame[] = [];
  let found = 0;
  let depth = 0;
  let expectKey = false;
  let keyOffset = 0;
  /** A value begins: is it on the wanted path? */
  const enter = (offset: number): boolean => {
    const top = stack[stack.length - 1];
    if (top === undefined) return true;
    const at = top.isObject ? top.key : String(top.index);
    if (!top.wanted || path[stack.length - 1] !== at) return false;
    if (stack.length > depth) {
      depth = stack.length;
      found = top.isObject ? keyOffset : offset;
    }
    return true;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 34) {
      const start = i;
      i = stringEnd(text, i);
      if (expectKey) {
        const top = stack[stack.length - 1]!;
        top.key = top.wanted ? (JSON.parse(text.slice(start, i + 1)) as string) : '';
        keyOffset = start;
        expectKey = false;
      } else enter(start);
    } else if (c === 123 || c === 91) {
      const on = enter(i);
      stack.push({ isObject: c === 123, key: '', index: 0, wanted: on });
      expectKey = c === 123;
    } else if (c === 125 || c === 93) {
      stack.pop();
      expectKey = false;
    } else if (c === 44) {
      const top = stack[stack.length - 1]!;
      if (top.isObject) expectKey = true;
      else top.index++;
    } else if (c > 32 && c !== 58) {
      enter(i);
      while (i + 1 < text.length && !',]} \t\r\n'.includes(text[i + 1]!)) i++;
    }
  }
  return found;
}

interface Frame {
  readonly isObject: boolean;
  key: string;
  index: number;
  /** Does this container lie on the wanted path? */
  readonly wanted: boolean;
}

function stringEnd(text: string, from: number): number {
  for (let i = from + 1; ; i++) {
    const c = text.charCodeAt(i);
    if (c === 92) i++;
    else if (c === 34) return i;
  }
}
