import { describeChange, type ObjectChange } from '@arcus/gateway/diff.ts';
import type { Output } from './output.ts';

const colours = { added: 'green', removed: 'red', changed: 'yellow' } as const;

/** A diff for people: one line an object, below it one line a field. */
export function printChanges(out: Output, changes: readonly ObjectChange[]): void {
  for (const change of changes) {
    const [head, ...fields] = describeChange(change);
    out.say(out.style(colours[change.change], head!));
    for (const field of fields) out.say(field);
  }
}
