import { completionIndex, completionIndexVariable, indexFailures, isIndexed, jobTracking } from '../../lib/api/jobs.ts';
import { apiVersionOf, kinds } from '../../lib/api/kinds.ts';
import type { Container, Job, OwnerReference, Pod } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';
import type { Draft } from '../../lib/client/client.ts';
import type { NewPod } from './reconcile.ts';

/** The mark that makes a pod this Job's. */
export const ownerReferenceOf = ({ metadata }: Job): OwnerReference => ({
  apiVersion: apiVersionOf(kinds.jobs),
  kind: kinds.jobs.kind,
  name: metadata.name,
  uid: metadata.uid,
  controller: true,
  blockOwnerDeletion: true,
});

/**
 * A pod of the template under the given name, held until it is counted. One with an index bears it as annotation, as label, in
 * its environment and as its host name (`<job>-<index>`).
 */
export function podOf(job: Job, name: string, { index, failures }: NewPod): Draft<Pod> {
  const { metadata = {}, spec } = job.spec.template;
  const trace = job.metadata.annotations?.[traceAnnotation];
  const annotations = {
    ...metadata.annotations,
    ...(trace !== undefined && { [traceAnnotation]: trace }),
    ...(index !== undefined && { [completionIndex]: String(index) }),
    ...(failures !== undefined && { [indexFailures]: String(failures) }),
  };
  const labels = { ...metadata.labels, ...(index !== undefined && { [completionIndex]: String(index) }) };
  return {
    apiVersion: apiVersionOf(kinds.pods),
    kind: kinds.pods.kind,
    metadata: {
      name,
      generateName: baseOf(job, index),
      ...(job.metadata.namespace !== undefined && { namespace: job.metadata.namespace }),
      labels,
      ...(Object.keys(annotations).length > 0 && { annotations }),
      finalizers: [...new Set([...(metadata.finalizers ?? []), jobTracking])],
      ownerReferences: [ownerReferenceOf(job)],
    },
    spec: index === undefined ? spec : numbered(job, spec, index),
  };
}

function numbered(job: Job, spec: Job['spec']['template']['spec'], index: number): Job['spec']['template']['spec'] {
  const variable = {
    name: completionIndexVariable,
    valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.annotations['${completionIndex}']` } },
  };
  const told = (container: Container): Container =>
    container.env?.some(({ name }) => name === completionIndexVariable) === true
      ? container
      : { ...container, env: [...(container.env ?? []), variable] };
  return {
    ...spec,
    hostname: spec.hostname ?? `${job.metadata.name}-${index}`,
    containers: spec.containers.map(told),
    ...(spec.initContainers !== undefined && { initContainers: spec.initContainers.map(told) }),
  };
}

// ---- Names -------------------------------------------------------------------------------------

const maxBase = 57;
const baseOf = (job: Job, index: number | undefined): string =>
  `${job.metadata.name}${index === undefined ? '' : `-${index}`}`.slice(0, maxBase).replace(/[-.]+$/, '') + '-';

/**
 * Names for new pods: the first of a row, made from the Job's uid and the index, that nobody has. Two who look at the same Job
 * choose the same names, so that where one of them is late, the API refuses what would be a pod too many.
 */
export function namesFor(job: Job, pods: readonly NewPod[], isTaken: (name: string) => boolean): readonly string[] {
  const given = new Set<string>();
  const next = new Map<number | undefined, number>();
  return pods.map(({ index }) => {
    for (let nth = next.get(index) ?? 0; ; nth++) {
      const name = `${baseOf(job, index)}${suffix(`${job.metadata.uid}/${isIndexed(job) ? index : ''}/${nth}`)}`;
      if (given.has(name) || isTaken(name)) continue;
      given.add(name);
      next.set(index, nth + 1);
      return name;
    }
  });
}

/** No vowels, so that no words come out, and nothing that looks like another. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Five characters; FNV-1a with its bits mixed once more, since the last letters of the text matter most. */
function suffix(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash = (hash ^ (hash >>> 16)) >>> 0;
  let name = '';
  for (let i = 0; i < 5; i++) {
    name += alphabet.charAt(hash % alphabet.length);
    hash = Math.floor(hash / alphabet.length);
  }
  return name;
}

// ---- Changes of a pod's standing ----------------------------------------------------------------

/** The pod as one of the Job's, to be counted; conditional on its revision when written. */
export const adopted = (job: Job, pod: Pod): Pod => ({
  ...pod,
  metadata: {
    ...pod.metadata,
    finalizers: [...new Set([...(pod.metadata.finalizers ?? []), jobTracking])],
    ownerReferences: [...(pod.metadata.ownerReferences ?? []), ownerReferenceOf(job)],
  },
});

/** The pod without the finalizer that holds it for its Job. */
export function untracked(pod: Pod): Pod {
  const { finalizers = [], ...metadata } = pod.metadata;
  const rest = finalizers.filter((each) => each !== jobTracking);
  return { ...pod, metadata: rest.length === 0 ? metadata : { ...metadata, finalizers: rest } };
}

/** The pod without the Job as its owner. */
export function released(job: Job, pod: Pod): Pod {
  const free = untracked(pod);
  const { ownerReferences = [], ...metadata } = free.metadata;
  const owners = ownerReferences.filter(({ uid }) => uid !== job.metadata.uid);
  return { ...pod, metadata: owners.length === 0 ? metadata : { ...metadata, ownerReferences: owners } };
}
