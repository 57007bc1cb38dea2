import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import type { Fault } from '@arcus/gateway/fault.ts';
import { type ParsedText, parseDocument } from '@arcus/gateway/yaml.ts';
import { CommandError, NO } from './command.ts';
import type { Output } from './output.ts';

/** A config file as it was written: JSON or YAML. */
export interface ConfigFile {
  readonly name: string;
  readonly parsed: ParsedText;
}

/** One fault with its place in the file. */
export interface FileFault extends Fault {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Reads a file, `-` being the standard input. Throws CommandError when that cannot be done. */
export async function readConfigFile(name: string): Promise<ConfigFile> {
  try {
    const content = name === '-' ? await buffer(process.stdin) : await readFile(name);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(content);
    return { name: name === '-' ? '<stdin>' : name, parsed: parseDocument(text, name) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(`${name}: ${(code !== undefined && reasons[code]) || message}`);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'this is a folder, not a file',
  EACCES: 'this user may not read it',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'this is not UTF-8',
};

/** Faults of the text itself: those of a text without a document, too. A config without anything is written {}. */
export function syntaxFaults({ name, parsed }: ConfigFile): FileFault[] {
  if (parsed.faults.length > 0) return parsed.faults.map((fault) => ({ file: name, ...fault }));
  if (parsed.value !== null && parsed.value !== undefined) return [];
  const message = 'the document is empty: a config without anything is {}';
  return [{ file: name, pointer: '', code: 'required', message, line: 1, column: 1 }];
}

/** Faults of the document, each at its place in the text. */

export const placed = ({ name, parsed }: ConfigFile, faults: readonly Fault[]): FileFault[] =>
  faults.map((fault) => ({ file: name, ...parsed.locate(fault.pointer), ...fault }));

/** `file:line:col pointer message`, one line a fault, as compilers do it. */
export function printFaults(out: Output, faults: readonly FileFault[]): void {
  for (const { file, line, column, pointer, message } of faults) {
    const place = out.style('bold', `${file}:${line}:${column}`);
    out.say(`${place} ${pointer === '' ? '/' : pointer} ${message}`);
  }
}

/** The document to send; stops with the faults of its text when there are any. */
export function documentOf(file: ConfigFile): unknown {
  const faults = syntaxFaults(file);
  if (faults.length > 0) throw new FileFaults(faults);
  return file.parsed.value;
}

/** The file is not right: each fault is shown at its place. */
export class FileFaults extends CommandError {
  readonly faults: readonly FileFault[];
  constructor(faults: readonly FileFault[]) {
    super(`${faults.length} ${faults.length === 1 ? 'fault' : 'faults'} in ${faults[0]?.file}`, {
      exitCode: NO,
      details: { faults },
    });
    this.faults = faults;
  }
}
