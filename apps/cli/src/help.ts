import type { Command, Flag } from './command.ts';
import { commonFlags, remoteFlags } from './flags.ts';

/** What `arcus --help` says. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((c) => usage(c).length));
  return [
    'arcus: configure and run the Arcus secure web gateway',
    '',
    ...commands.map((c) => `  ${usage(c).padEnd(width)}  ${c.summary}`),
    '',
    'arcus COMMAND --help says more, arcus --version which one this is. Exit codes: 0 done, 1 the answer is no, 2 it could not be asked.',
  ].join('\n');
}

/** What `arcus COMMAND --help` says. */
export function helpFor(command: Command): string {
  const flags = { ...command.flags, ...(command.remote ? remoteFlags : {}), ...commonFlags };
  return [
    `arcus ${usage(command)} [flags]`,
    '',
    `${command.summary}.`,
    ...(command.notes ? ['', command.notes] : []),
    '',
    'Flags:',
    ...flagLines(flags),
    '',
    'Examples:',
    ...command.examples.map((e) => `  ${e}`),
  ].join('\n');
}

const usage = (command: Command): string => [command.name, ...command.args].join(' ');

function flagLines(flags: Record<string, Flag>): string[] {
  const names = Object.entries(flags).map(([name, flag]) => {
    const short = flag.short ? `-${flag.short}, ` : '';
    return `${short}--${name}${flag.value ? ` ${flag.value}` : ''}`;
  });
  const width = Math.max(...names.map((n) => n.length));
  return Object.values(flags).map((flag, i) => `  ${names[i]!.padEnd(width)}  ${flag.description}`);
}
