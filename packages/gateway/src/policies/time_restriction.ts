import { z } from 'zod';
import { definePolicy, type Policy, type Verdict } from '../kind.ts';
import { meaning } from '../refine.ts';
import type { Session } from '../session.ts';
import { policyFields } from './common.ts';

const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
type Day = (typeof days)[number];

const Window = z
  .strictObject({
    days: z.array(z.enum(days)).min(1).max(7).describe('Days on which the window begins'),
    from: z
      .string()
      .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be HH:MM, 00:00 to 23:59')
      .describe('First minute, HH:MM on the wall clock of the zone'),
    to: z
      .string()
      .regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'must be HH:MM, 00:00 to 24:00')
      .describe('First minute that is outside again; a time before "from" is on the next day'),
  })
  .superRefine(({ from, to }, ctx) => {
    if (from !== to) return;
    const message = 'the window is empty; a whole day is from 00:00 to 24:00';
    ctx.addIssue({ code: 'custom', path: ['to'], message, params: { code: 'empty_window' } });
  });
type Window = z.output<typeof Window>;

const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/**
 * Is the wall clock, `day` 0 (Sunday) to 6 and `minute` of the day, inside a window? By the wall clock, so a window
 * keeps its hours when the zone's offset changes: it then lasts an hour more or less of real time.
 */
export function isInside(windows: readonly Window[], day: number, minute: number): Window | undefined {
  const today = days[day]!;
  const yesterday = days[(day + 6) % 7]!;
  return windows.find((w) => {
    const [from, to] = [minutes(w.from), minutes(w.to)];
    const on = (d: Day) => w.days.includes(d);
    if (from < to) return on(today) && minute >= from && minute < to;
    return (on(today) && minute >= from) || (on(yesterday) && minute < to);
  });
}

class TimeRestriction implements Policy {
  readonly name: string;
  readonly type = 'time_restriction';
  readonly priority: number;
  readonly #config: { windows: readonly Window[]; time_zone: string; action: 'allow' | 'block' };
  readonly #clock: Intl.DateTimeFormat;
  readonly #now: () => number;
  /** The minute, since the epoch, that `#verdict` is of. */
  #minute = -1;
  #verdict: Verdict | null = null;

  constructor(
    config: {
      name: string;
      priority: number;
      windows: readonly Window[];
      time_zone: string;
      action: 'allow' | 'block';
    },
    now: () => number,
  ) {
    this.name = config.name;
    this.priority = config.priority;
    this.#config = config;
    this.#now = now;
    this.#clock = new Intl.DateTimeFormat('en-US', {
      timeZone: config.time_zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
  }

  check(_session: Session): Verdict | null {
    const minute = Math.floor(this.#now() / 60_000);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#verdict = this.#decide(minute * 60_000);
    }
    return this.#verdict;
  }

  #decide(time: number): Verdict | null {
    const { windows, time_zone, action } = this.#config;
    const parts = Object.fromEntries(this.#clock.formatToParts(time).map((p) => [p.type, p.value]));
    const day = days.indexOf(parts.weekday!.toLowerCase() as Day);
    const inside = isInside(windows, day, Number(parts.hour) * 60 + Number(parts.minute));
    if ((inside !== undefined) === (action === 'allow')) return null;
    const rule = inside ? `${inside.days.join(',')} ${inside.from}-${inside.to}` : 'outside all windows';
    const reason = `not at this time (${parts.weekday} ${parts.hour}:${parts.minute} ${time_zone})`;
    return { action: 'block', policy: this.name, rule, reason, location: '' };
  }

  explain(): string {
    const { windows, time_zone, action } = this.#config;
    const list = windows.map((w) => `${w.days.join(',')} ${w.from}-${w.to}`).join('; ');
    return `${action === 'allow' ? 'Lets sessions pass only' : 'Blocks sessions'} at ${list} (${time_zone}).`;
  }
}

export const timeRestriction = definePolicy({
  type: 'time_restriction',
  description: 'Allows or blocks by the time of day and week in a time zone',
  config: {
    ...policyFields,
    windows: z.array(Window).min(1).max(100).describe('Times by the wall clock'),
    // An offset such as "+02:00" is no zone: it knows no daylight saving time.
    time_zone: meaning(z.string().min(1).max(64), 'bad_time_zone', (name) =>
      isZone(name) ? null : `"${name}" is not an IANA time zone`,
    ).describe('IANA time zone, such as Europe/Berlin'),
    action: z.enum(['allow', 'block']).describe('allow: only inside the windows; block: not inside them'),
  },
  examples: [
    {
      name: 'office-hours',
      type: 'time_restriction',
      windows: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:30' }],
      time_zone: 'Europe/Berlin',
      action: 'allow',
    },
    {
      name: 'no-nights',
      type: 'time_restriction',
      windows: [{ days: ['fri', 'sat'], from: '22:00', to: '06:00' }],
      time_zone: 'America/New_York',
      action: 'block',
    },
  ],
  create: (config, ctx) => new TimeRestriction(config, ctx.services.now),
});

function isZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
