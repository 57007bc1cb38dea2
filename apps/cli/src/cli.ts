import { parseArgs } from 'node:util';
import software from '../package.json' with { type: 'json' };
import { type Command, CommandError, type Flag, OK, TROUBLE, UsageError } from './command.ts';
import { commands } from './commands.ts';
import { FileFaults, printFaults } from './config-file.ts';
import { resolveConnection } from './connection.ts';
import { commonFlags, remoteFlags } from './flags.ts';
import { helpFor, overview } from './help.ts';
import { Output, type Streams } from './output.ts';

/** Runs one command line; resolves to the exit code. Writes only to `streams`. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv, streams: Streams): Promise<number> {
  const colours = streams.stdout.isTTY === true && env.NO_COLOR === undefined;
  const json = argv.includes('--json');
  const out = new Output(streams, { json, colours });
  const command = find(argv);
  try {
    if (!command) return withoutCommand(argv, out);
    const { values, positionals } = parse(command, argv.slice(command.name.split(' ').length));
    if (values.help === true) {
      out.say(helpFor(command));
      return OK;
    }
    checkCount(command, positionals);
    const connect = () => resolveConnection(values, env);
    return await command.run({ values, args: positionals, env, out, connect });
  } catch (error) {
    return explain(error, command, out);
  }
}

/** The command that the first words name; the longest name wins. */
function find(argv: readonly string[]): Command | undefined {
  const two = argv.slice(0, 2).join(' ');
  return commands.find((c) => c.name === two) ?? commands.find((c) => c.name === argv[0]);
}

function withoutCommand(argv: readonly string[], out: Output): number {
  const [word] = argv;
  if (word === undefined || word === 'help' || word === '--help' || word === '-h') {
    out.say(overview(commands));
    return word === undefined ? TROUBLE : OK;
  }
  if (word === 'version' || word === '--version' || word === '-V') {
    if (out.json) out.data({ version: software.version, node: process.version });
    else out.say(`arcus ${software.version}`);
    return OK;
  }
  const group = commands.filter((c) => c.name.startsWith(`${word} `)).map((c) => c.name);
  throw new UsageError(
    group.length > 0
      ? `"${word}" needs one more word: ${group.join(', ')}`
      : `there is no command "${word}": ${commands.map((c) => c.name).join(', ')}`,
  );
}

function parse(command: Command, args: readonly string[]) {
  const flags: Record<string, Flag> = {
    ...command.flags,
    ...(command.remote ? remoteFlags : {}),
    ...commonFlags,
  };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, flag]) => [
      name,
      { type: flag.value ? ('string' as const) : ('boolean' as const), ...(flag.short ? { short: flag.short } : {}) },
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // The first sentence is for people; the rest is about how to write such a positional.
    throw new UsageError((error as Error).message.split('. ')[0]!);
  }
}

function checkCount(command: Command, positionals: readonly string[]): void {
  const needed = command.args.filter((a) => !a.startsWith('['));
  if (positionals.length < needed.length) throw new UsageError(`${needed[positionals.length]} is missing`);
  const many = command.args.some((a) => a.endsWith('…'));
  if (!many && positionals.length > command.args.length) {
    throw new UsageError(`"${positionals[command.args.length]}" is one argument too many`);
  }
}

function explain(error: unknown, command: Command | undefined, out: Output): number {
  const usage = error instanceof UsageError;
  if (!usage && !(error instanceof CommandError)) throw error;
  const message = (error as Error).message;
  const code = usage ? TROUBLE : (error as CommandError).exitCode;
  if (out.json) {
    const details = usage ? {} : (error as CommandError).details;
    out.warn(JSON.stringify({ error: { message, ...details } }, null, 2));
    return code;
  }
  if (error instanceof FileFaults) printFaults(out, error.faults);
  out.warn(`arcus: ${message}`);
  if (usage) out.warn(`Try: arcus ${command ? `${command.name} ` : ''}--help`);
  return code;
}
