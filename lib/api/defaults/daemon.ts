import type { MutableJson } from '../json.ts';
import { ensured, fill, fillText } from './fill.ts';
import { defaultTemplate } from './workload.ts';

/** One node at a time, ten templates to go back to. */
export function defaultDaemonSet(set: MutableJson): void {
  const status = ensured(set, 'status');
  if (status !== undefined)
    for (const count of ['currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady'])
      fill(status, count, 0);
  const spec = ensured(set, 'spec');
  if (spec === undefined) return;
  fill(spec, 'revisionHistoryLimit', 10);
  const strategy = ensured(spec, 'updateStrategy');
  if (strategy !== undefined) {
    fillText(strategy, 'type', 'RollingUpdate');
    const rolling = strategy['type'] === 'RollingUpdate' ? ensured(strategy, 'rollingUpdate') : undefined;
    if (rolling !== undefined) {
      fill(rolling, 'maxUnavailable', 1);
      fill(rolling, 'maxSurge', 0);
    }
  }
  defaultTemplate(spec);
}
