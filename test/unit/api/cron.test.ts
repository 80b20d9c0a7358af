import assert from 'node:assert/strict';
import fc from 'fast-check';
import { lastDue, nextDue, parseSchedule, utc, wallIn } from '../../../lib/api/cron.ts';

const ms = (time: string): number => Date.parse(`${time}Z`);
const times = (text: string, from: string, count: number, zone?: string): readonly string[] => {
  const found: string[] = [];
  let at: number | undefined = ms(from);
  for (let i = 0; i < count && at !== undefined; i++) {
    at = nextDue(parseSchedule(text), zone === undefined ? utc : wallIn(zone), at);
    if (at !== undefined) found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
};

describe('api/cron', () => {
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['* * * * *', '2026-01-01T00:00:30', ['2026-01-01T00:01', '2026-01-01T00:02']],
    ['*/20 * * * *', '2026-01-01T00:20', ['2026-01-01T00:40', '2026-01-01T01:00']],
    [
      '5-59/20 6 * * *',
      '2026-01-01T00:00',
      ['2026-01-01T06:05', '2026-01-01T06:25', '2026-01-01T06:45', '2026-01-02T06:05'],
    ],
    ['0 9-10,17 * * mon-fri', '2026-01-02T12:00', ['2026-01-02T17:00', '2026-01-05T09:00', '2026-01-05T10:00']],
    ['0 0 31 * *', '2026-01-31T00:00', ['2026-03-31T00:00', '2026-05-31T00:00']],
    ['0 0 29 2 *', '2026-01-01T00:00', ['2028-02-29T00:00', '2032-02-29T00:00']],
    ['0 0 29 feb ?', '2097-01-01T00:00', ['2104-02-29T00:00']],
    ['0 0 13 * 5', '2026-02-01T00:00', ['2026-02-06T00:00', '2026-02-13T00:00', '2026-02-20T00:00']],
    ['0 12 * * 7', '2026-01-01T00:00', ['2026-01-04T12:00', '2026-01-11T12:00']],
    ['@hourly', '2026-01-01T00:00', ['2026-01-01T01:00']],
    ['@weekly', '2026-01-01T00:00', ['2026-01-04T00:00']],
    ['@monthly', '2026-01-01T00:00', ['2026-02-01T00:00']],
    ['@Yearly', '2026-01-01T00:00', ['2027-01-01T00:00']],
    ['0 0 31 2 *', '2026-01-01T00:00', []],
  ];
  for (const [text, from, want] of cases)
    it(`${text} after ${from}`, () => assert.deepEqual(times(text, from, Math.max(1, want.length)), want));

  it('follows the clock on the wall of a time zone', () => {
    // Rome: one hour ahead of UTC in winter, two from 29 March 2026 on; clocks go back on 25 October.
    assert.deepEqual(times('0 9 * * *', '2026-03-28T00:00', 2, 'Europe/Rome'), [
      '2026-03-28T08:00',
      '2026-03-29T07:00',
    ]);
    assert.deepEqual(times('30 2 * * *', '2026-03-28T12:00', 1, 'Europe/Rome'), ['2026-03-30T00:30']);
    assert.deepEqual(times('30 2 * * *', '2026-10-24T12:00', 2, 'Europe/Rome'), [
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
    assert.deepEqual(times('30 * * * *', '2026-10-24T23:45', 3, 'Europe/Rome'), [
      '2026-10-25T00:30',
      '2026-10-25T01:30',
      '2026-10-25T02:30',
    ]);
    assert.deepEqual(times('0 0 * * *', '2026-01-01T00:00', 2, 'Asia/Kolkata'), [
      '2026-01-01T18:30',
      '2026-01-02T18:30',
    ]);
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    ['* * * *', /5 fields.*has 4/],
    ['60 * * * *', /minute: "60" is not from 0 to 59/],
    ['* 24 * * *', /hour/],
    ['* * 0 * *', /day of the month/],
    ['* * * 13 *', /month/],
    ['* * * * 8', /day of the week/],
    ['* * * foo *', /month: "foo"/],
    ['5-3 * * * *', /ends before it begins/],
    ['*/0 * * * *', /a step must be at least 1/],
    ['a b', /5 fields/],
    ['1,,2 * * * *', /cannot read ""/],
    ['@sometimes', /is none of @yearly/],
    ['TZ=UTC 0 0 * * *', /give it as timeZone/],
  ];
  for (const [text, why] of wrong) it(`refuses ${text}`, () => assert.throws(() => parseSchedule(text), why));

  it('is due in no other minute than those of its fields, and misses none', () => {
    const field = (min: number, max: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.integer({ min, max }).map(String),
        fc.integer({ min: 1, max: 20 }).map((step) => `*/${step}`),
      );
    fc.assert(
      fc.property(
        fc.tuple(field(0, 59), field(0, 23), field(1, 28), field(0, 6)),
        fc.nat(3_000_000),
        ([m, h, d, w], from) => {
          const schedule = parseSchedule(`${m} ${h} ${d} * ${w}`);
          const start = ms('2026-01-01T00:00') + from * 60_000;
          const next = nextDue(schedule, utc, start, start + 3 * 86_400_000);
          const isDue = (at: number): boolean => {
            const { minute, hour, day, weekday } = utc(at);
            const isDay = schedule.eitherDay
              ? schedule.days.has(day) || schedule.weekdays.has(weekday)
              : schedule.days.has(day) && schedule.weekdays.has(weekday);
            return schedule.minutes.has(minute) && schedule.hours.has(hour) && isDay;
          };
          let at = start + 60_000;
          while (at <= start + 3 * 86_400_000 && !isDue(at)) at += 60_000;
          assert.equal(next, at <= start + 3 * 86_400_000 ? at : undefined);
          if (next !== undefined) assert.equal(lastDue(schedule, utc, start, next), next);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('finds the last of many missed times at once', () => {
    const [since, now] = [ms('2016-01-01T00:00'), ms('2026-01-01T00:00:30')];
    assert.equal(lastDue(parseSchedule('* * * * *'), utc, since, now), ms('2026-01-01T00:00'));
    assert.equal(lastDue(parseSchedule('0 3 1 6 *'), utc, since, now), ms('2025-06-01T03:00'));
    assert.equal(lastDue(parseSchedule('0 3 1 6 *'), utc, ms('2025-07-01T00:00'), now), undefined);
  });
});
