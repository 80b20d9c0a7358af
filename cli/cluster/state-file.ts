import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What the supervisor leaves on disk for `status`, `down` and the next `up`. */
export interface ClusterState {
  readonly supervisorPid: number;
  /** When the supervisor started, as the kernel counts: with the pid it names one process for good. */
  readonly supervisorStart: string;
  readonly startedAtMs: number;
  readonly cluster: string;
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly server: string;
  readonly nats: string;
  readonly dockerSocket: string;
  /** The file by which kubectl reaches the cluster, once it is up. */
  readonly kubeconfig?: string;
  readonly parts: readonly PartState[];
}

export interface PartState {
  readonly name: string;
  readonly pid?: number;
  readonly state: 'starting' | 'ready' | 'not ready' | 'restarting' | 'stopped';
  /** Why it is not ready, in its own words. */
  readonly why?: string;
  readonly restarts: number;
  readonly sinceMs: number;
  readonly telemetry?: string;
  readonly logFile: string;
}

const fileOf = (dataDir: string): string => join(dataDir, 'cluster.json');
const stopOrderOf = (dataDir: string): string => join(dataDir, 'stop.json');

/** The state of the cluster in this folder, or undefined when none was started or it was stopped cleanly. */
export function readState(dataDir: string): ClusterState | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(dataDir), 'utf8')) as ClusterState;
  } catch {
    return undefined;
  }
}

/** Replaces the file as a whole, so that a reader never sees half of it. */
export function writeState(dataDir: string, state: ClusterState): void {
  const file = fileOf(dataDir);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(state, undefined, 2) + '\n');
  renameSync(`${file}.new`, file);
}

export const removeState = (dataDir: string): void => {
  rmSync(fileOf(dataDir), { force: true });
  rmSync(stopOrderOf(dataDir), { force: true });
};

/** Left by `down` for the supervisor to read when it gets its signal. */
export const orderKeepPods = (dataDir: string): void => {
  writeFileSync(stopOrderOf(dataDir), JSON.stringify({ keepPods: true }));
};
export function keepPodsOrdered(dataDir: string): boolean {
  try {
    return (JSON.parse(readFileSync(stopOrderOf(dataDir), 'utf8')) as { keepPods?: boolean }).keepPods === true;
  } catch {
    return false;
  }
}

/** When a process started, in the kernel's ticks since boot; undefined when there is none of this pid. */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Whether the supervisor that wrote this state lives: its pid may have been given to another program since. */
export const supervisorLives = ({ supervisorPid, supervisorStart }: ClusterState): boolean =>
  startOf(supervisorPid) === supervisorStart;

/** Whether the process lives and is a part of the cluster in this folder. */
export function isPart(pid: number, dataDir: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TROUPE_DATA_DIR=${dataDir}\0`);
  } catch {
    return false;
  }
}
