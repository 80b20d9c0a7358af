import { ApiError } from '../base/errors.ts';
import type { Container, ContainerStatus, Pod } from './objects.ts';

/** Names the container of a pod that is meant where none is named. */
export const defaultContainerAnnotation = 'kubectl.kubernetes.io/default-container';

/** The names of all containers of a pod, those of the start-up and those that were added to look into it last. */
export const containerNames = (pod: Pod): readonly string[] => allContainers(pod.spec).map(({ name }) => name);

/** Every container that a pod's spec names, in the same order. */
export const allContainers = (spec: Pick<Pod['spec'], ContainerLists>): readonly Container[] => [
  ...spec.containers,
  ...(spec.initContainers ?? []),
  ...(spec.ephemeralContainers ?? []),
];
type ContainerLists = 'containers' | 'initContainers' | 'ephemeralContainers';

/** What the status says of a container; undefined where it says nothing. */
export const containerStatusIn = ({ status }: Pick<Pod, 'status'>, name: string): ContainerStatus | undefined =>
  [status.containerStatuses, status.initContainerStatuses, status.ephemeralContainerStatuses]
    .flatMap((list) => list ?? [])
    .find((each) => each.name === name);

/** The container that is meant where none is named: that of the annotation, or the only one; else undefined. */
export function defaultContainer(pod: Pod): string | undefined {
  const named = pod.metadata.annotations?.[defaultContainerAnnotation];
  if (named !== undefined && containerNames(pod).includes(named)) return named;
  return pod.spec.containers.length === 1 ? pod.spec.containers[0]?.name : undefined;
}

/** The container that is meant. BadRequest, with the names there are, where it is not there or not clear which. */
export function containerNameIn(pod: Pod, wanted: string | undefined): string {
  const names = containerNames(pod);
  const { name, namespace } = pod.metadata;
  const choose = `choose one of: ${names.join(', ')}`;
  const found = wanted === undefined || wanted === '' ? defaultContainer(pod) : wanted;
  if (found === undefined)
    throw new ApiError('BadRequest', `pod "${namespace}/${name}" has several containers: name one; ${choose}`);
  if (names.includes(found)) return found;
  throw new ApiError('BadRequest', `pod "${namespace}/${name}" has no container "${found}"; ${choose}`);
}
