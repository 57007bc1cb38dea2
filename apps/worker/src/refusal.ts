/** Why a release is not served, as the worker tells it. */
import { StoreCorrupt } from '@arcus/control/store.ts';
import { type Fault, FaultError } from '@arcus/gateway/fault.ts';
import { ListenError } from './listeners.ts';

const MOST_ISSUES = 100;

/** A head that must not be followed: not from the management service, or an old one that comes again. */
export class HeadRefused extends Error {
  readonly code: 'head_not_believed' | 'head_replayed';
  constructor(code: HeadRefused['code'], message: string) {
    super(message);
    this.name = 'HeadRefused';
    this.code = code;
  }
}

/** At most 100 of them. */
export function issuesOf(error: unknown): Fault[] {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof FaultError || error instanceof ListenError) return error.faults.slice(0, MOST_ISSUES);
  if (error instanceof HeadRefused) return [{ pointer: '', code: error.code, message: reason }];
  if (error instanceof StoreCorrupt) return [{ pointer: '', code: 'store_corrupt', message: reason }];
  return [{ pointer: '', code: 'internal', message: `The release cannot be applied: ${reason}` }];
}
