/** `npm run load -- [SECONDS]`: the proxy at saturation, 60 s unless told otherwise. Ends with 1 when a count is off. */
import { load } from './run.ts';

const seconds = Number(process.argv[2] ?? 60);
if (!(seconds >= 1)) {
  process.stderr.write('usage: npm run load -- [SECONDS]\n');
  process.exit(2);
}
// As long again before: the heap finds its size only after half a minute or so, and what grows beyond it is a leak.
const report = await load(seconds, Math.max(5, seconds));
process.stdout.write(
  `${report.seconds} s, ${report.conversations} connections, ${report.sessions} sessions, ` +
    `memory ${report.rssBefore} MiB before and ${report.rssAfter} MiB after, ${report.pooled} connections kept\n`,
);
for (const fault of report.faults) process.stderr.write(`${fault}\n`);
process.exitCode = report.faults.length === 0 ? 0 : 1;
