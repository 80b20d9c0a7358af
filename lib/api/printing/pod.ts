import type { ContainerStatus, ContainerTerminated, Pod } from '../objects.ts';
import { gatedCondition, isGated } from '../gates.ts';
import { conditionOf, isDeleting, isTerminal } from '../pods.ts';
import { isQuarantined } from '../quarantine.ts';
import { ageOf } from './age.ts';

/** What a pod's row says of its containers. */
export interface PodSummary {
  /** One word, or nearly: `Running`, `Init:1/2`, `CrashLoopBackOff`, `Terminating`. */
  readonly status: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: number;
  /** Milliseconds since 1970; undefined when none was ever restarted. */
  readonly lastRestartMs: number | undefined;
}

/**
 * The one word that tells most about a pod: being deleted, else the first init container that is not through, else what
 * the first container that does not run is waiting for or died of, else its phase.
 */
export function summaryOf(pod: Pod): PodSummary {
  const sidecars = new Set(
    (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always').map((each) => each.name),
  );
  const inits = pod.status.initContainerStatuses ?? [];
  const containers = pod.status.containerStatuses ?? [];
  const staying = inits.filter((each) => sidecars.has(each.name));
  const initializing = initStatus(pod, inits, sidecars);
  const started = initializing === undefined || conditionOf(pod.status, 'Initialized')?.status === 'True';
  const counted = started ? [...staying, ...containers] : inits;
  return {
    status:
      goingStatus(pod) ?? markedStatus(pod, started ? runningStatus(pod, containers, initializing) : initializing),
    ready: [...staying.filter((each) => each.started), ...(started ? containers.filter(runs) : [])].filter(
      (each) => each.ready,
    ).length,
    total: pod.spec.containers.length + sidecars.size,
    restarts: counted.reduce((sum, each) => sum + each.restartCount, 0),
    lastRestartMs: lastRestart(counted),
  };
}

/** `3 (5m ago)` */
export const restartsText = (summary: PodSummary, nowMs: number): string =>
  summary.restarts === 0 || summary.lastRestartMs === undefined
    ? String(summary.restarts)
    : `${summary.restarts} (${ageOf(summary.lastRestartMs, nowMs)} ago)`;

/** As a cordoned node's has it: `Running,Quarantined`. */
const markedStatus = (pod: Pod, status: string): string => (isQuarantined(pod) ? `${status},Quarantined` : status);

function goingStatus(pod: Pod): string | undefined {
  if (!isDeleting(pod)) return undefined;
  if (pod.status.reason === 'NodeLost') return 'Unknown';
  return isTerminal(pod) ? undefined : 'Terminating';
}

/** What the first init container that is not through is at; undefined when all are. */
function initStatus(pod: Pod, inits: readonly ContainerStatus[], sidecars: ReadonlySet<string>): string | undefined {
  const at = inits.findIndex(
    (each) => each.state?.terminated?.exitCode !== 0 && !(sidecars.has(each.name) && each.started === true),
  );
  const status = inits[at];
  if (status === undefined) return undefined;
  const { terminated, waiting } = status.state ?? {};
  if (terminated !== undefined) return `Init:${endText(terminated)}`;
  const reason = waiting?.reason ?? '';
  if (reason !== '' && reason !== 'PodInitializing') return `Init:${reason}`;
  return `Init:${at}/${pod.spec.initContainers?.length ?? inits.length}`;
}

function runningStatus(pod: Pod, containers: readonly ContainerStatus[], before: string | undefined): string {
  // Of a pod that is over, what never came to run waits for nothing any more.
  const settled = isTerminal(pod) ? containers.filter(({ state }) => state?.waiting === undefined) : containers;
  const told = settled.map(troubleOf).find((trouble) => trouble !== undefined);
  const word =
    told ??
    before ??
    (isGated(pod) && pod.status.phase === 'Pending' ? gatedCondition.reason : undefined) ??
    ((pod.status.reason ?? '') === '' ? (pod.status.phase ?? 'Unknown') : (pod.status.reason ?? ''));
  if (word !== 'Completed' || !containers.some((each) => runs(each) && each.ready)) return word;
  return conditionOf(pod.status, 'Ready')?.status === 'True' ? 'Running' : 'NotReady';
}

const runs = (status: ContainerStatus): boolean => status.state?.running !== undefined;

/** What a container is waiting for or ended with; undefined while it runs. */
function troubleOf(status: ContainerStatus): string | undefined {
  const { waiting, terminated } = status.state ?? {};
  if (waiting?.reason !== undefined && waiting.reason !== '') return waiting.reason;
  return terminated === undefined ? undefined : endText(terminated);
}

function endText(end: ContainerTerminated): string {
  if (end.reason !== undefined && end.reason !== '') return end.reason;
  return (end.signal ?? 0) === 0 ? `ExitCode:${end.exitCode}` : `Signal:${end.signal}`;
}

function lastRestart(statuses: readonly ContainerStatus[]): number | undefined {
  const ends = statuses
    .map((each) => Date.parse(each.lastState?.terminated?.finishedAt ?? ''))
    .filter((each) => !Number.isNaN(each));
  return ends.length === 0 ? undefined : Math.max(...ends);
}
