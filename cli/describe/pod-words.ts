import type { ContainerStatus, Pod } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { summaryOf } from '../../lib/api/printing/pod.ts';

/** How a pod is, in one line: its status as tables have it, and why, as far as it, its containers or the scheduler say. */
export function podWords(pod: Pod): string {
  const status = summaryOf(pod).status;
  const why = causeOf(pod);
  return why === undefined ? status : `${status} (${why})`;
}

function causeOf({ spec, status }: Pod): string | undefined {
  const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const told = all.map(troubleOf).find((words) => words !== undefined) ?? status.message;
  if (told !== undefined || spec.nodeName !== undefined) return told;
  return conditionOf(status, 'PodScheduled')?.message;
}

function troubleOf({ name, state, lastState }: ContainerStatus): string | undefined {
  if (state?.waiting?.message !== undefined) return `container ${name}: ${state.waiting.message}`;
  const ended = state?.terminated ?? (state?.running === undefined ? lastState?.terminated : undefined);
  if (ended === undefined || ended.exitCode === 0) return undefined;
  return `container ${name}: exit code ${ended.exitCode}`;
}
