import { controllerOf } from '../pods.ts';
import type { ControllerRevision, DaemonSet } from '../objects.ts';
import { whatRuns } from './workload.ts';

export const daemonSetRow = ({ metadata, spec, status }: DaemonSet, age: string): readonly string[] => [
  metadata.name,
  String(status.desiredNumberScheduled),
  String(status.currentNumberScheduled),
  String(status.numberReady),
  String(status.updatedNumberScheduled ?? 0),
  String(status.numberAvailable ?? 0),
  nodeSelectorText(spec.template.spec.nodeSelector),
  age,
  ...whatRuns(spec.template.spec, spec.selector),
];

function nodeSelectorText(selector: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(selector ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? '<none>' : pairs.sort().join(',');
}

export function revisionRow(object: ControllerRevision, age: string): readonly string[] {
  const owner = controllerOf(object);
  const group = owner?.apiVersion.split('/').slice(0, -1).join('/') ?? '';
  const controller =
    owner === undefined ? '<none>' : `${owner.kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${owner.name}`;
  return [object.metadata.name, controller, String(object.revision), age];
}
