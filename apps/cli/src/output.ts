import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Streams {
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { isTTY?: boolean };
}

/** Where a command writes: results to stdout, as text or as JSON; everything else to stderr. */
export class Output {
  readonly #streams: Streams;
  readonly #colours: boolean;
  readonly json: boolean;

  constructor(streams: Streams, { json, colours }: { json: boolean; colours: boolean }) {
    this.#streams = streams;
    this.json = json;
    this.#colours = colours;
  }

  /** A line (or several) of the result. */
  say(text: string): void {
    this.#streams.stdout.write(`${text}\n`);
  }

  /** The result as JSON. */
  data(value: unknown): void {
    this.say(JSON.stringify(value, null, 2));
  }

  /** Text as it is. */
  raw(text: string): void {
    this.#streams.stdout.write(text);
  }

  /** What went wrong, or a hint. */
  warn(text: string): void {
    this.#streams.stderr.write(`${text}\n`);
  }

  style(style: Style, text: string): string {
    return this.#colours ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Rows in columns, the first row as head. */
  table(rows: readonly (readonly string[])[]): void {
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
    for (const [index, row] of rows.entries()) {
      const line = row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!)))
        .join('  ');
      this.say(index === 0 ? this.style('bold', line) : line);
    }
  }
}
