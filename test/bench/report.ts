/** Results as text: a line, a table, a page. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Result } from './row.ts';

/** Three figures, so that noise is not printed as if it were knowledge. */
const figure = (value: number): string =>
  value === 0 || Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);

const spread = (values: readonly number[]): string => `${figure(Math.min(...values))}–${figure(Math.max(...values))}`;

/** Ratios and values that have a target, each with its verdict. */
function verdicts(result: Result): string[] {
  const judge = (bars: Record<string, number>, sign: string, reached: (value: number, bar: number) => boolean) =>
    Object.entries(bars).map(([of, bar]) => {
      const [what, value] = of === 'arcus' ? ['', result.arcus] : [` × ${of}`, result.ratio[of]!];
      return `${figure(value)}${what} (${sign} ${bar}: ${reached(value, bar) ? 'reached' : 'missed'})`;
    });
  return [
    ...judge(result.target, '≤', (value, bar) => value <= bar),
    ...judge(result.floor ?? {}, '≥', (value, bar) => value >= bar),
  ];
}

/** One line for one row, as soon as it is measured. */
export function formatResult(result: Result): string {
  const all = Object.entries(result.runs).map(([name, values]) => {
    const middle = name in result.peers ? result.peers[name]! : result.arcus;
    return `${name} ${figure(middle)} (${spread(values)})`;
  });
  return [
    `${result.name.padEnd(28)}${result.unit}: ${all.join(', ')}`,
    ...verdicts(result).map((text) => `${' '.repeat(28)}${text}`),
  ].join('\n');
}

/** A Markdown table of all results. */
export function formatTable(results: readonly Result[]): string {
  const lines = results.map((r) => {
    const peers = Object.entries(r.peers).map(([name, value]) => `${name} ${figure(value)}`);
    const ratios = Object.entries(r.ratio).map(([name, value]) => `${figure(value)} × ${name}`);
    return `| ${r.name} | ${r.unit} | ${figure(r.arcus)} | ${peers.join(', ')} | ${ratios.join(', ')} | ${verdicts(r).join('; ') || '–'} |`;
  });
  return ['| row | unit | Arcus | neighbours | ratio | target |', '|---|---|---|---|---|---|', ...lines].join('\n');
}

const ROW = /^\| ([a-z0-9-]+) \|.*$/gm;

/** Writes the results between the markers of a part of the page; rows that were not measured now stay as they are. */
export function updatePage(
  file: string,
  part: 'bench' | 'control',
  results: readonly Result[],
  machine: Record<string, string>,
): void {
  const [BEGIN, END] = [`<!-- ${part}:begin -->`, `<!-- ${part}:end -->`];
  const page = readFileSync(file, 'utf8');
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} lacks ${BEGIN} … ${END}`);
  const table = formatTable(results);
  const fresh = new Map([...table.matchAll(ROW)].map((m) => [m[1]!, m[0]]));
  const [header = '', rule = ''] = table.split('\n');
  const old = [...page.slice(from, to).matchAll(ROW)].filter((m) => m[1] !== 'row');
  const merged = old.map((m) => {
    const line = fresh.get(m[1]!) ?? m[0];
    fresh.delete(m[1]!);
    return line;
  });
  const facts = Object.entries(machine).map(([what, value]) => `${what} ${value}`);
  const body = [
    `Measured ${new Date().toISOString().slice(0, 10)}: ${facts.join(', ')}.`,
    '',
    header,
    rule,
    ...merged,
    ...[...fresh.values()].filter((line) => !line.startsWith('| row ')),
  ];
  writeFileSync(file, `${page.slice(0, from + BEGIN.length)}\n${body.join('\n')}\n${page.slice(to)}`);
}
