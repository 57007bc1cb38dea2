/** The table of results in docs/reliability.md: one line for each scenario, the newest run of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Ran } from '../run.ts';

const [BEGIN, END] = ['<!-- chaos:begin -->', '<!-- chaos:end -->'];
const HEADER = ['| scenario | hurt | all run the newest release after | run | verdict |', '|---|---|---|---|---|'];
const ROW = /^\| `([a-z-]+)` \|.*$/gm;

/** Exchanges the line of the scenario that ran; one that could not be run leaves what is there. */
export function updateResults(file: string, { scenario, outcome, seconds }: Ran): void {
  if (!outcome) return;
  const page = readFileSync(file, 'utf8');
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} lacks ${BEGIN} … ${END}`);
  const rows = new Map([...page.slice(from, to).matchAll(ROW)].map((m) => [m[1]!, m[0]]));
  const { hurts, note, convergedMs, accepted, decisions, faults } = outcome;
  const cells = [
    `\`${scenario.name}\``,
    `${hurts} ×${note && ` (${note})`}`,
    `${convergedMs} ms`,
    `${new Date().toISOString().slice(0, 10)}, ${Math.round(seconds)} s; so far ${accepted} writes, ${decisions} answers`,
    faults.length === 0 ? 'nothing lost or mixed' : `${faults.length} broken: ${faults[0]!.split('\n')[0]}`,
  ];
  rows.set(scenario.name, `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
  writeFileSync(
    file,
    `${page.slice(0, from + BEGIN.length)}\n${[...HEADER, ...rows.values()].join('\n')}\n${page.slice(to)}`,
  );
}
