import type { Event } from '../lib/api/objects.ts';
import { ageOf } from '../lib/api/printing/index.ts';
import { colorOfStatus, type Colors } from './columns.ts';

/** When an event was seen last, in milliseconds since 1970; 0 when it does not say. */
export function lastSeenMs(event: Event): number {
  const text = event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? event.metadata.creationTimestamp;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? 0 : ms;
}

/** For sorting: the oldest first. */
export const inTime = (a: Event, b: Event): number => lastSeenMs(a) - lastSeenMs(b);

/** Type, reason, age, source, message. */
export function eventRow(event: Event, nowMs: number, colors: Colors): string[] {
  const type = event.type ?? 'Normal';
  return [
    colorOfStatus(colors, type),
    event.reason ?? '',
    eventAge(event, nowMs),
    event.source?.component ?? event.reportingComponent ?? '',
    (event.message ?? '').trimEnd().replaceAll('\n', ' '),
  ];
}

/** `5s`, or `5s (x3 over 2m)` for an event that came more than once. */
export function eventAge(event: Event, nowMs: number): string {
  const last = ageOf(lastSeenMs(event), nowMs);
  const count = event.count ?? 1;
  const first = event.firstTimestamp ?? undefined;
  if (count <= 1 || first === undefined) return last;
  return `${last} (x${count} over ${ageOf(Date.parse(first), nowMs)})`;
}
