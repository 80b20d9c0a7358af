import { formatSelector, selectorOfLabelSelector } from '../labels.ts';
import type { Deployment, LabelSelector, PodSpec, ReplicaSet } from '../objects.ts';

export const replicaSetRow = ({ metadata, spec, status }: ReplicaSet, age: string): readonly string[] => [
  metadata.name,
  String(spec.replicas),
  String(status.replicas),
  String(status.readyReplicas ?? 0),
  age,
  ...whatRuns(spec.template.spec, spec.selector),
];

export const deploymentRow = ({ metadata, spec, status }: Deployment, age: string): readonly string[] => [
  metadata.name,
  `${status.readyReplicas ?? 0}/${spec.replicas}`,
  String(status.updatedReplicas ?? 0),
  String(status.availableReplicas ?? 0),
  age,
  ...whatRuns(spec.template.spec, spec.selector),
];

export const whatRuns = ({ containers }: PodSpec, selector: LabelSelector): readonly string[] => [
  containers.map(({ name }) => name).join(','),
  containers.map(({ image }) => image).join(','),
  formatSelector(selectorOfLabelSelector(selector)),
];
