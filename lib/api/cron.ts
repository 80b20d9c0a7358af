/**
 * Schedules of five fields (minute, hour, day of the month, month, day of the week), as crontab(5) has them: `*`, numbers, ranges,
 * lists, steps, names of months and days, and `@hourly` and the like. Times are milliseconds since 1970.
 */
export interface Schedule {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday. */
  readonly weekdays: ReadonlySet<number>;
  /** Where both kinds of days are restricted, one of the two is enough (crontab(5)). */
  readonly eitherDay: boolean;
  /** It names hours: a clock that is put back an hour does not make it due twice. */
  readonly hoursNamed: boolean;
}

const macros: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** From `min` on. */
  readonly words?: readonly string[];
}

const fields: readonly Field[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of the month', min: 1, max: 31 },
  { name: 'month', min: 1, max: 12, words: 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ') },
  // 7 is Sunday, too.
  { name: 'day of the week', min: 0, max: 7, words: 'sun mon tue wed thu fri sat'.split(' ') },
];

/** The schedule of a text. Throws an Error that says which field is wrong and how. */
export function parseSchedule(text: string): Schedule {
  const trimmed = text.trim();
  if (/^(CRON_)?TZ=/.test(trimmed)) throw new Error('names a time zone: give it as timeZone');
  const plain = macros[trimmed.toLowerCase()] ?? trimmed;
  if (plain.startsWith('@')) throw new Error(`${plain} is none of ${Object.keys(macros).join(', ')}`);
  const parts = plain.split(/\s+/).filter((part) => part !== '');
  if (parts.length !== fields.length)
    throw new Error(`must have 5 fields (minute hour day month weekday), and this has ${parts.length}`);
  const [minutes, hours, days, months, weekdays] = fields.map((field, i) => parseField(field, parts[i] ?? ''));
  const isOpen = (i: number): boolean => /^[*?]/.test(parts[i] ?? '');
  const none: ReadonlySet<number> = new Set();
  return {
    minutes: minutes ?? none,
    hours: hours ?? none,
    days: days ?? none,
    months: months ?? none,
    weekdays: new Set([...(weekdays ?? none)].map((day) => day % 7)),
    eitherDay: !isOpen(2) && !isOpen(4),
    hoursNamed: !isOpen(1),
  };
}

function parseField(field: Field, text: string): ReadonlySet<number> {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const found = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/([0-9]+))?$/i.exec(part);
    if (found === null) throw new Error(`${field.name}: cannot read ${JSON.stringify(part)}`);
    const [, first = '', last, every] = found;
    const isAll = first === '*' || first === '?';
    if (isAll && last !== undefined) throw new Error(`${field.name}: ${JSON.stringify(part)} is no range`);
    const step = every === undefined ? 1 : Number(every);
    if (step < 1) throw new Error(`${field.name}: a step must be at least 1`);
    const from = isAll ? field.min : valueOf(field, first);
    const top = field.max === 7 && isAll ? 6 : field.max;
    const to = last !== undefined ? valueOf(field, last) : isAll || every !== undefined ? top : from;
    if (to < from) throw new Error(`${field.name}: ${JSON.stringify(part)} ends before it begins`);
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return values;
}

function valueOf(field: Field, text: string): number {
  const word = field.words?.indexOf(text.toLowerCase()) ?? -1;
  const value = word >= 0 ? field.min + word : /^[0-9]{1,4}$/.test(text) ? Number(text) : NaN;
  if (value >= field.min && value <= field.max) return value;
  throw new Error(`${field.name}: ${JSON.stringify(text)} is not from ${field.min} to ${field.max}`);
}

/** Tells the wall's time of moments; throws RangeError for a zone that nobody knows. */
export type Wall = (ms: number) => WallTime;
interface WallTime {
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
}

export const utc: Wall = (ms) => {
  const date = new Date(ms);
  return {
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
  };
};

/** The clock on the wall in a time zone of the IANA's. */
export function wallIn(timeZone: string): Wall {
  const format = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, calendar: 'gregory', hourCycle: 'h23' },
    ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric' },
  });
  return (ms) => {
    const at = new Map<string, number>();
    for (const { type, value } of format.formatToParts(ms)) at.set(type, Number(value));
    const [year = 0, month = 0, day = 0] = [at.get('year'), at.get('month'), at.get('day')];
    const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
    return { month, day, weekday, hour: at.get('hour') ?? 0, minute: at.get('minute') ?? 0 };
  };
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** Every schedule that is ever due is due within so long: 29 February may be away for 8 years. */
const horizonMs = 9 * 366 * 24 * hourMs;

/**
 * The first time after `afterMs`, and not after `untilMs`, at which a schedule is due; undefined when there is none. A time that the
 * wall leaves out when clocks are put forward is not due that day; one that comes twice is due once, where the schedule names hours.
 */
export function nextDue(schedule: Schedule, wall: Wall, afterMs: number, untilMs = Infinity): number | undefined {
  const last = Math.min(untilMs, afterMs + horizonMs);
  let at = (Math.floor(afterMs / minuteMs) + 1) * minuteMs;
  while (at <= last) {
    const now = wall(at);
    if (!isDay(schedule, now)) at += Math.max(1, 22 - now.hour) * hourMs - (now.minute % 60) * minuteMs;
    else if (!schedule.hours.has(now.hour)) at += hourMs - now.minute * minuteMs;
    else if (!schedule.minutes.has(now.minute) || (schedule.hoursNamed && wall(at - hourMs).hour === now.hour))
      at += minuteMs;
    else return at;
  }
  return undefined;
}

function isDay({ months, days, weekdays, eitherDay }: Schedule, { month, day, weekday }: WallTime): boolean {
  if (!months.has(month)) return false;
  return eitherDay ? days.has(day) || weekdays.has(weekday) : days.has(day) && weekdays.has(weekday);
}

/** The last time after `sinceMs` and not after `nowMs` at which a schedule was due; undefined when there was none. */
export function lastDue(schedule: Schedule, wall: Wall, sinceMs: number, nowMs: number): number | undefined {
  // From near to far, so that a minute's schedule that slept for a year is not counted through.
  for (const spanMs of [hourMs, 24 * hourMs, 31 * 24 * hourMs, 366 * 24 * hourMs, horizonMs]) {
    const from = Math.max(sinceMs, nowMs - spanMs);
    let found: number | undefined;
    for (let at = nextDue(schedule, wall, from, nowMs); at !== undefined; at = nextDue(schedule, wall, at, nowMs))
      found = at;
    if (found !== undefined || from === sinceMs) return found;
  }
  return undefined;
}
