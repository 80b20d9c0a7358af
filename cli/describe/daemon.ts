import { formatSelector, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { DaemonSet, Pod } from '../../lib/api/objects.ts';
import { podWords } from './pod-words.ts';
import { conditions, template } from './workload.ts';
import { pairs, type Outline } from './outline.ts';

/** A DaemonSet: which nodes it is for, how many of them have what, and the pod of each node. */
export function describeDaemonSet({ spec, status }: DaemonSet, pods: readonly Pod[]): Outline {
  const { type, rollingUpdate } = spec.updateStrategy;
  const byNode = pods
    .map((pod) => `${pod.spec.nodeName ?? '<none yet>'}: ${pod.metadata.name} ${podWords(pod)}`)
    .sort();
  return [
    ['Selector', formatSelector(selectorOfLabelSelector(spec.selector))],
    ['Node selector', pairs(spec.template.spec.nodeSelector).join(',') || '<none>'],
    [
      'Nodes',
      `${status.desiredNumberScheduled} fit, ${status.currentNumberScheduled} have a pod, ` +
        `${status.updatedNumberScheduled ?? 0} of the newest template, ${status.numberReady} ready, ` +
        `${status.numberAvailable ?? 0} available`,
    ],
    [
      'Misscheduled',
      status.numberMisscheduled === 0 ? undefined : `${status.numberMisscheduled} that do not fit have a pod`,
    ],
    [
      'Strategy',
      rollingUpdate === undefined
        ? type
        : `${type}, at most ${rollingUpdate.maxUnavailable} missing or ${rollingUpdate.maxSurge} besides`,
    ],
    conditions(status.conditions),
    ['Pods', byNode],
    template(spec.template),
  ];
}
