import { isAbsent, objectAt, type MutableJson } from '../json.ts';
import { ensured, fill, fillText, inside } from './fill.ts';
import { defaultPodSpec } from './pod.ts';

/** The template's labels stand in for a selector and for the controller's own labels. */
export function defaultReplicationController(rc: MutableJson): void {
  const status = ensured(rc, 'status');
  if (status !== undefined) fill(status, 'replicas', 0);
  const spec = ensured(rc, 'spec');
  if (spec === undefined) return;
  fill(spec, 'replicas', 1);
  const template = inside(spec, 'template');
  if (template === undefined) return;
  const podSpec = ensured(template, 'spec');
  if (podSpec !== undefined) defaultPodSpec(podSpec);
  const labels = objectAt(objectAt(template, 'metadata'), 'labels');
  if (Object.keys(labels).length === 0) return;
  if (isEmpty(spec['selector'])) spec['selector'] = { ...labels };
  const metadata = inside(rc, 'metadata');
  if (metadata !== undefined && isEmpty(metadata['labels'])) metadata['labels'] = { ...labels };
}
const isEmpty = (value: unknown): boolean =>
  isAbsent(value) || (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0);

export function defaultReplicaSet(set: MutableJson): void {
  const status = ensured(set, 'status');
  if (status !== undefined) fill(status, 'replicas', 0);
  const spec = ensured(set, 'spec');
  if (spec === undefined) return;
  fill(spec, 'replicas', 1);
  defaultTemplate(spec);
}

/** A quarter of the pods at a time, ten templates to go back to, ten minutes without progress until a rollout has failed. */
export function defaultDeployment(deployment: MutableJson): void {
  ensured(deployment, 'status');
  const spec = ensured(deployment, 'spec');
  if (spec === undefined) return;
  fill(spec, 'replicas', 1);
  fill(spec, 'revisionHistoryLimit', 10);
  fill(spec, 'progressDeadlineSeconds', 600);
  const strategy = ensured(spec, 'strategy');
  if (strategy !== undefined) {
    fillText(strategy, 'type', 'RollingUpdate');
    const rolling = strategy['type'] === 'RollingUpdate' ? ensured(strategy, 'rollingUpdate') : undefined;
    if (rolling !== undefined) {
      fill(rolling, 'maxUnavailable', '25%');
      fill(rolling, 'maxSurge', '25%');
    }
  }
  defaultTemplate(spec);
}

export function defaultTemplate(spec: MutableJson): void {
  const template = inside(spec, 'template');
  const podSpec = template === undefined ? undefined : ensured(template, 'spec');
  if (podSpec !== undefined) defaultPodSpec(podSpec);
}
