/**
 * One thing wrong with a document. `pointer` is an RFC 6901 JSON Pointer into the document that was given
 * ('' is the whole of it); `message` is one sentence for a person; `code` is stable, for programs.
 */
export interface Fault {
  pointer: string;
  message: string;
  code: string;
}

/** With so many faults a document is not one that somebody wrote: the rest of it is not looked at. */
export const ENOUGH = 10_000;

/** Thrown where a caller asked for a value and the document has faults; carries all of them, never only the first. */
export class FaultError extends Error {
  readonly faults: readonly Fault[];
  constructor(faults: readonly Fault[]) {
    super(faults.map((f) => `${f.pointer || '/'}: ${f.message}`).join('; '));
    this.name = 'FaultError';
    this.faults = faults;
  }
}

/** A JSON Pointer (RFC 6901) from path segments. */
export function pointer(...segments: readonly PropertyKey[]): string {
  return segments.map((s) => `/${String(s).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
