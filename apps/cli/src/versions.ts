import { UsageError } from './command.ts';

/** The version of a release, as it is typed. */
export function versionOf(text: string): number {
  const version = Number(text);
  if (!Number.isInteger(version) || version < 1) throw new UsageError(`"${text}" is no version of a release`);
  return version;
}
