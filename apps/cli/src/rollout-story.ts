import type { Output } from './output.ts';

/** A rollout, as the API puts it. */
export interface Rollout {
  readonly id: string;
  readonly tenant_id: string;
  readonly version: number;
  readonly stable_version: number;
  readonly state: 'running' | 'paused' | 'promoted' | 'halted' | 'aborted';
  readonly phase: string;
  readonly step: number;
  readonly reason: string;
  readonly plan: readonly { percent?: number; labels?: Record<string, string>; count: number; of: number }[];
  readonly notes: readonly string[];
  readonly events: readonly { at: string; text: string; actor: string; details?: { notes?: readonly string[] } }[];
}

const colours = { running: 'cyan', paused: 'yellow', promoted: 'green', halted: 'red', aborted: 'yellow' } as const;

/** Where it is, what its steps take, what it cannot show, and what happened so far. */
export function printRollout(out: Output, rollout: Rollout): void {
  const { id, tenant_id, version, stable_version, state, phase, step, reason, plan, notes, events } = rollout;
  const where = state === 'running' ? `, step ${step} (${phase})` : '';
  const why = reason ? `: ${reason}` : '';
  const said = out.style(colours[state], state);
  out.say(`${tenant_id}: rollout ${id} of release ${version} over ${stable_version}, ${said}${where}${why}`);
  for (const [i, one] of plan.entries()) {
    const mark = state === 'running' && i + 1 === step ? '>' : ' ';
    out.say(`${mark} step ${i + 1}  ${partOf(one).padEnd(8)}  ${one.count} of ${one.of} workers`);
  }
  const [first] = events;
  for (const note of notes.length > 0 ? notes : (first?.details?.notes ?? [])) out.say(`  ! ${note}`);
  for (const { at, text, actor } of events) {
    out.say(`  ${at.slice(0, 19).replace('T', ' ')}  ${text}${actor ? ` (${actor})` : ''}`);
  }
}

const partOf = ({ percent, labels = {} }: Rollout['plan'][number]): string =>
  percent === undefined
    ? Object.entries(labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(',')
    : `${percent} %`;
