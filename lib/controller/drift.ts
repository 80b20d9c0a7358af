import { hostname } from 'node:os';
import { newRecorder, type RecorderOptions } from './events.ts';

/** A check that took long comes less often: it may take this share of the time. */
const share = 1 / 50;

/** When to compare next what is in effect with what should be: about every `everyMs`, never all processes at one moment. */
export const checkDelayMs = (everyMs: number, tookMs: number, random: () => number): number =>
  Math.max(everyMs, tookMs / share) * (0.8 + 0.4 * random());

/** Differences named in one Event; the others are counted. */
const mostNamed = 5;

/**
 * Tells of drift as an Event on the node: the same differences again count up the Event that is there. Never waits, never throws.
 * `part` is who found it, such as `proxy`.
 */
export function newDriftEvents(
  part: string,
  node: string,
  parts: Omit<RecorderOptions, 'component' | 'host'>,
): (differences: readonly string[]) => void {
  const recorder = newRecorder({ ...parts, component: part, host: hostname() });
  const about = { apiVersion: 'v1', kind: 'Node', name: node, uid: node };
  return (differences) => {
    const named = differences.toSorted().slice(0, mostNamed);
    const more = differences.length - named.length;
    const list = [...named, ...(more > 0 ? [`${more} more`] : [])].join('; ');
    recorder.event(
      about,
      'Warning',
      'Drift',
      `what the ${part} had in effect was not as it should be, and was made anew: ${list}`,
    );
  };
}
