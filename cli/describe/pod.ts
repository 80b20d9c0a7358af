import type {
  Container,
  ContainerState,
  ContainerStatus,
  EphemeralContainer,
  Pod,
  PodSpec,
  Probe,
  Volume,
} from '../../lib/api/objects.ts';
import { controllerOf, isDeleting } from '../../lib/api/pods.ts';
import { inner, pairs, type Entry, type Outline, type Value } from './outline.ts';

export function describePod(pod: Pod): Outline {
  const { spec, status } = pod;
  const owner = controllerOf(pod);
  return [
    [
      'Node',
      spec.nodeName === undefined
        ? '<none yet>'
        : `${spec.nodeName}${status.hostIP === undefined ? '' : ` (${status.hostIP})`}`,
    ],
    ['Started', status.startTime],
    [
      'Status',
      isDeleting(pod)
        ? `Terminating (${pod.metadata.deletionGracePeriodSeconds ?? 0} s to end)`
        : (status.phase ?? 'Unknown'),
    ],
    ['Reason', status.reason],
    ['Message', status.message],
    ['IP', status.podIP ?? '<none yet>'],
    ['Controlled by', owner === undefined ? undefined : `${owner.kind}/${owner.name}`],
    ['Restart policy', spec.restartPolicy],
    ['Service quality', status.qosClass],
    ...containersOf('Init containers', spec.initContainers, status.initContainerStatuses),
    ...containersOf('Containers', spec.containers, status.containerStatuses),
    ...containersOf('Ephemeral containers', spec.ephemeralContainers, status.ephemeralContainerStatuses),
    [
      'Conditions',
      inner(
        ...(status.conditions ?? []).map(({ type, status: is, reason, message }): Entry => [
          type,
          [[is, reason, message].filter((part) => part !== undefined && part !== '').join('  ')],
        ]),
      ),
    ],
    ['Volumes', inner(...(spec.volumes ?? []).map((volume): Entry => [volume.name, volumeText(volume)]))],
    ['Node selector', spec.nodeSelector === undefined ? undefined : pairs(spec.nodeSelector)],
    ['Scheduling gates', spec.schedulingGates?.map(({ name }) => name)],
    ['Tolerations', (spec.tolerations ?? []).map(tolerationText)],
  ];
}

/** The template of a controller's pods, in the same form as a pod. */
export function describeTemplate(spec: PodSpec): Outline {
  return [
    ...containersOf('Init containers', spec.initContainers, undefined),
    ...containersOf('Containers', spec.containers, undefined),
    ['Volumes', inner(...(spec.volumes ?? []).map((volume): Entry => [volume.name, volumeText(volume)]))],
  ];
}

function containersOf(
  label: string,
  containers: readonly EphemeralContainer[] | undefined,
  statuses: readonly ContainerStatus[] | undefined,
): Entry[] {
  if (containers === undefined || containers.length === 0) return [];
  return [
    [
      label,
      inner(
        ...containers.map((container): Entry => [
          container.name,
          {
            inner: describeContainer(
              container,
              statuses?.find(({ name }) => name === container.name),
            ),
          },
        ]),
      ),
    ],
  ];
}

function describeContainer(container: EphemeralContainer, status: ContainerStatus | undefined): Outline {
  const { resources } = container;
  return [
    ['Image', container.image],
    ['Sees processes of', container.targetContainerName],
    ['Image ID', status?.imageID === '' ? undefined : status?.imageID],
    ['Container ID', status?.containerID],
    ['Command', container.command?.join(' ')],
    ['Arguments', container.args?.join(' ')],
    [
      'Ports',
      container.ports
        ?.map(
          ({ name, containerPort, hostPort, protocol }) =>
            `${containerPort}/${protocol}${name === undefined ? '' : ` (${name})`}${hostPort === undefined ? '' : `, host port ${hostPort}`}`,
        )
        .join(', '),
    ],
    ['State', status === undefined ? undefined : stateText(status.state)],
    [
      'Last state',
      status?.lastState === undefined || Object.keys(status.lastState).length === 0
        ? undefined
        : stateText(status.lastState),
    ],
    ['Ready', status?.ready],
    ['Restarts', status?.restartCount],
    ['Requests', amounts(resources.requests)],
    ['Limits', amounts(resources.limits)],
    ['Liveness', probeText(container.livenessProbe)],
    ['Readiness', probeText(container.readinessProbe)],
    ['Startup', probeText(container.startupProbe)],
    ['Environment', environment(container)],
    [
      'Mounts',
      container.volumeMounts?.map(
        ({ mountPath, name, readOnly }) =>
          `${mountPath} from ${name} (${readOnly === true ? 'read only' : 'read and write'})`,
      ),
    ],
  ];
}

function stateText(state: ContainerState | undefined): Value {
  if (state?.running !== undefined) return `Running since ${state.running.startedAt ?? 'an unknown time'}`;
  if (state?.terminated !== undefined) {
    const { reason, exitCode, signal, message, startedAt, finishedAt } = state.terminated;
    const how = signal === undefined || signal === 0 ? `exit code ${exitCode}` : `signal ${signal}`;
    const lines = [`Terminated: ${reason ?? 'ended'} (${how})`];
    if (startedAt !== undefined) lines.push(`from ${startedAt} to ${finishedAt ?? '?'}`);
    if (message !== undefined && message !== '') lines.push(...message.trimEnd().split('\n'));
    return lines;
  }
  const { reason, message } = state?.waiting ?? {};
  return [
    `Waiting${reason === undefined ? '' : `: ${reason}`}`,
    ...(message === undefined || message === '' ? [] : message.split('\n')),
  ];
}

function amounts(list: Container['resources']['requests']): string | undefined {
  const entries = Object.entries(list ?? {});
  return entries.length === 0 ? undefined : entries.map(([name, amount]) => `${name} ${amount}`).join(', ');
}

function probeText(probe: Probe | undefined): string | undefined {
  if (probe === undefined) return undefined;
  const { httpGet, tcpSocket, exec } = probe;
  const how =
    httpGet !== undefined
      ? `${(httpGet.scheme ?? 'HTTP').toLowerCase()}://${httpGet.host ?? ''}:${httpGet.port}${httpGet.path ?? '/'}`
      : tcpSocket !== undefined
        ? `connect to port ${tcpSocket.port}`
        : exec !== undefined
          ? `run ${(exec.command ?? []).join(' ')}`
          : 'of an unknown kind';
  return `${how}; after ${probe.initialDelaySeconds ?? 0} s, every ${probe.periodSeconds} s, within ${probe.timeoutSeconds} s, ${probe.successThreshold} good or ${probe.failureThreshold} bad in a row`;
}

function environment(container: Container): readonly string[] | undefined {
  const single = (container.env ?? []).map(({ name, value, valueFrom }) => {
    if (valueFrom === undefined) return `${name}=${value ?? ''}`;
    const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
    if (fieldRef !== undefined) return `${name} from field ${fieldRef.fieldPath}`;
    if (resourceFieldRef !== undefined) return `${name} from resource ${resourceFieldRef.resource}`;
    if (configMapKeyRef !== undefined)
      return `${name} from key ${configMapKeyRef.key} of configmap ${configMapKeyRef.name ?? ''}`;
    if (secretKeyRef !== undefined) return `${name} from key ${secretKeyRef.key} of secret ${secretKeyRef.name ?? ''}`;
    return name;
  });
  const whole = (container.envFrom ?? []).map(({ prefix, configMapRef, secretRef }) => {
    const from =
      configMapRef === undefined ? `secret ${secretRef?.name ?? ''}` : `configmap ${configMapRef.name ?? ''}`;
    return `all of ${from}${prefix === undefined ? '' : `, each with the prefix ${prefix}`}`;
  });
  return single.length + whole.length === 0 ? undefined : [...single, ...whole];
}

function volumeText(volume: Volume): string {
  const { emptyDir, hostPath, configMap, secret, nfs, gcePersistentDisk, persistentVolumeClaim } = volume;
  if (emptyDir !== undefined)
    return `empty folder that lives as long as the pod${emptyDir.medium === 'Memory' ? ', in memory' : ''}${emptyDir.sizeLimit === undefined ? '' : `, at most ${emptyDir.sizeLimit}`}`;
  if (hostPath !== undefined) return `${hostPath.path} of the node`;
  if (configMap !== undefined) return `configmap ${configMap.name ?? ''}`;
  if (secret !== undefined) return `secret ${secret.secretName ?? ''}`;
  if (nfs !== undefined) return `nfs ${nfs.server}:${nfs.path}`;
  if (gcePersistentDisk !== undefined) return `disk ${gcePersistentDisk.pdName}`;
  if (persistentVolumeClaim !== undefined)
    return `claim ${persistentVolumeClaim.claimName}${persistentVolumeClaim.readOnly === true ? ', to read' : ''}`;
  return Object.keys(volume)
    .filter((key) => key !== 'name')
    .join(', ');
}

function tolerationText({
  key,
  operator,
  value,
  effect,
  tolerationSeconds,
}: NonNullable<PodSpec['tolerations']>[number]): string {
  const what =
    key === undefined ? 'everything' : operator === 'Exists' || value === undefined ? key : `${key}=${value}`;
  return `${what}${effect === undefined ? '' : `:${effect}`}${tolerationSeconds === undefined ? '' : ` for ${tolerationSeconds} s`}`;
}
