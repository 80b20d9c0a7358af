import type { Tracer } from '@opentelemetry/api';
import type { ObjectReference, Pod, Service } from '../lib/api/objects.ts';
import type { Clock } from '../lib/base/clock.ts';
import type { Log } from '../lib/base/log.ts';
import type { Client } from '../lib/client/client.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import type { ImagePuller } from './images/image-puller.ts';
import type { Limit } from './limit.ts';
import type { AgentMetrics } from './metrics.ts';
import type { PodNetwork } from './network/pod-network.ts';
import type { DnsSettings } from './pod-files.ts';
import type { PodSource } from './pod-source.ts';
import type { PodStorage } from './pod-storage.ts';
import type { Checker } from './probes/checks.ts';
import type { ContainerRuntime } from './runtime/runtime.ts';
import type { NodeSecurity } from './security/container-security.ts';
import type { WarmPool } from './warm/warm-pool.ts';
import type { StatusWriter } from './status-writer.ts';
import type { FollowedConfig } from './volumes/followed-config.ts';
import type { ExitWatch } from './withdrawal/exit-watch.ts';
import type { Withdrawals } from './withdrawal/withdrawals.ts';
import type { PodTokens } from './volumes/pod-tokens.ts';

/** Where facts worth telling go. */
export interface Telling {
  event(about: ObjectReference, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** What the node offers; it changes only with its podCIDR. */
export interface NodeFacts {
  readonly name: string;
  readonly hostIp: string;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
}

/** The Services that containers hear of by environment variables. */
export interface ServiceSource {
  readonly synced: boolean;
  list(namespace?: string): readonly Service[];
  get(key: string): Service | undefined;
}

/** Everything that the work on one pod needs; made once an agent. */
export interface AgentParts {
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly storage: PodStorage;
  readonly client: Pick<Client, 'get' | 'delete'>;
  readonly pods: PodSource;
  /** What the volumes of pods are filled from. */
  readonly followed: FollowedConfig;
  readonly tokens: PodTokens;
  readonly services: ServiceSource;
  readonly statuses: StatusWriter;
  readonly puller: ImagePuller;
  /** Undefined where this machine has no groups to make. */
  readonly cgroups: PodCgroups | undefined;
  /** Processes and threads that a pod may have; 0: any number. */
  readonly maxPodPids: number;
  readonly security: NodeSecurity;
  readonly check: Checker;
  /** Asks whether anybody still sends traffic to a pod. */
  readonly exits: ExitWatch | undefined;
  readonly withdrawals: Pick<Withdrawals, 'confirmed'>;
  /** Others were told that this pod was down, and it is ready again. */
  readonly tellServing: (pod: Pod) => void;
  readonly telling: Telling;
  readonly node: NodeFacts;
  readonly dns: DnsSettings;
  readonly infraImage: string;
  /** Sandboxes ready in advance; empty where none are wanted. */
  readonly warm: WarmPool;
  /** How much is asked of the engine at one time. */
  readonly steps: Limit;
  /** Steady: its `now` never jumps. Everything that waits or lasts is measured with it. */
  readonly clock: Clock;
  /** The machine's wall time in ms since 1970, for what is shown to people. */
  readonly wall: () => number;
  readonly log: Log;
  readonly tracer: Tracer;
  readonly metrics: AgentMetrics;
  readonly signal: AbortSignal;
}

export const podReference = (pod: Pod, container?: string): ObjectReference => ({
  apiVersion: 'v1',
  kind: 'Pod',
  namespace: pod.metadata.namespace ?? '',
  name: pod.metadata.name,
  uid: pod.metadata.uid,
  ...(container === undefined ? {} : { fieldPath: `spec.containers{${container}}` }),
});
