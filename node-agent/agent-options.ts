import type { Meter, Tracer } from '@opentelemetry/api';
import type { NodeStatus, Pod } from '../lib/api/objects.ts';
import type { Clock } from '../lib/base/clock.ts';
import type { Log } from '../lib/base/log.ts';
import type { EventBus } from '../lib/bus/bus.ts';
import type { Client } from '../lib/client/client.ts';
import { newObjectFollower, type ObjectFollower } from '../lib/view/follow.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import type { EndOrder } from './eviction/pod-ending.ts';
import type { ImageKeeper } from './images/image-keeper.ts';
import { newImagePuller } from './images/image-puller.ts';
import { Limit } from './limit.ts';
import { agentMetrics } from './metrics.ts';
import type { PodNetwork } from './network/pod-network.ts';
import type { NodeSource } from './node/node-keeper.ts';
import type { Health, Machine } from './node/node-status.ts';
import type { AgentParts, ServiceSource, Telling } from './parts.ts';
import type { DnsSettings } from './pod-files.ts';
import type { PodSource } from './pod-source.ts';
import type { PodStorage } from './pod-storage.ts';
import type { ExitWatch } from './withdrawal/exit-watch.ts';
import { tellServing } from './withdrawal/deaths.ts';
import { Withdrawals } from './withdrawal/withdrawals.ts';
import { newChecker, type Checker } from './probes/checks.ts';
import { infraImageName } from './runtime/infra-image.ts';
import type { ContainerRuntime } from './runtime/runtime.ts';
import type { NodeSecurity } from './security/container-security.ts';
import { newStatusWriter, type StatusWriter } from './status-writer.ts';
import { steadyClock } from './steady-time.ts';
import { FollowedConfig } from './volumes/followed-config.ts';
import { PodTokens } from './volumes/pod-tokens.ts';
import { WarmPool } from './warm/warm-pool.ts';

/** What an agent is made of. Everything is handed in, so that a whole cluster can live in one process on fakes. */
export interface AgentOptions {
  readonly cluster: string;
  readonly machine: Machine;
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly storage: PodStorage;
  readonly client: Client;
  readonly bus: EventBus | undefined;
  readonly pods: PodSource;
  readonly services: ServiceSource;
  readonly nodes: NodeSource;
  /** Resolves when the three above are complete; nothing is ended or started before. */
  readonly synced: Promise<unknown>;
  readonly dns: DnsSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly signal: AbortSignal;
  /** Where Events go; default: nowhere. */
  readonly telling?: Telling;
  /** Can be shared by many agents. Default: one of its own. */
  readonly statuses?: StatusWriter;
  readonly follower?: ObjectFollower;
  readonly check?: Checker;
  /** Tells of the ends of processes before the engine does; default: nothing does. */
  readonly exits?: (onExit: (containerId: string) => void) => ExitWatch;
  /** Why a pod that has just come must not start here; default: every pod may. */
  readonly refuse?: (pod: Pod) => EndOrder | undefined;
  /** What the machine is short of, as last looked at. */
  readonly pressure?: () => Pick<Health, 'memory' | 'disk' | 'processes'>;
  /** Default: no seccomp profiles of its own, and the safe kernel settings only. */
  readonly security?: NodeSecurity;
  readonly cgroups?: PodCgroups | undefined;
  readonly maxPodPids?: number;
  /** Told of every pull; default: nobody remembers. */
  readonly images?: Pick<ImageKeeper, 'pulled'>;
  /** What the Node says of the images that are here; default: nothing. */
  readonly nodeImages?: () => NodeStatus['images'];
  readonly infraImage?: string;
  /** How many sandboxes are kept ready in advance; only where the engine knows late host names. Default 0. */
  readonly warmSandboxes?: number;
  readonly maxParallelSteps?: number;
  readonly maxParallelPulls?: number;
  readonly heartbeatMs?: number;
  /** After so long without a byte either way a stream into a pod ends. */
  readonly streamIdleMs?: number;
  readonly leaseMs?: number;
  /** The slow net under the engine's events. */
  readonly relistMs?: number;
  /** Whether the pods of other nodes must be reachable from here; default: yes. Nodes without real pods need no routes. */
  readonly routes?: boolean;
}

const telling: Telling = { event: () => undefined };

/** Who hears of what, of the agent. */
export interface Listening {
  /** Whose volumes are to be filled anew. */
  readonly onConfig: (podUid: string) => void;
  /** Whose main process has ended. */
  readonly onExit: (containerId: string) => void;
}

/** What the work on pods needs, made from the options and their defaults. */
export function agentParts(options: AgentOptions, { onConfig, onExit }: Listening): AgentParts {
  const { machine, runtime, clock, log, signal, client } = options;
  const metrics = agentMetrics(options.meter);
  const steps = new Limit(options.maxParallelSteps ?? 8);
  const image = options.infraImage ?? infraImageName;
  const size = options.warmSandboxes ?? 0;
  return {
    runtime,
    network: options.network,
    storage: options.storage,
    client,
    pods: options.pods,
    services: options.services,
    followed: new FollowedConfig(
      options.follower ?? newObjectFollower({ client, bus: options.bus, cluster: options.cluster, clock, log, signal }),
      onConfig,
    ),
    tokens: new PodTokens({ client, clock }, onConfig),
    statuses:
      options.statuses ??
      newStatusWriter({
        ...{ client, clock, log, signal },
        onWritten: (count, failed) => {
          metrics.statusWrites.add(count - failed, { outcome: 'ok' });
          if (failed > 0) metrics.statusWrites.add(failed, { outcome: 'refused' });
        },
      }),
    puller: newImagePuller(runtime, options.maxParallelPulls ?? 3, options.images),
    cgroups: options.cgroups,
    maxPodPids: options.maxPodPids ?? 0,
    security: options.security ?? { seccompDir: '', allowedSysctls: [] },
    check: options.check ?? newChecker(runtime),
    exits: options.exits?.(onExit),
    withdrawals: new Withdrawals({ bus: options.bus, cluster: options.cluster, node: machine.name, clock, signal }),
    tellServing: (pod) => {
      tellServing({ bus: options.bus, cluster: options.cluster, node: machine, wall: () => clock.now() }, pod);
    },
    telling: options.telling ?? telling,
    node: machine,
    dns: options.dns,
    infraImage: image,
    warm: new WarmPool({ runtime, network: options.network, steps, image, size, clock, log, signal }),
    steps,
    clock: steadyClock(clock),
    wall: () => clock.now(),
    log,
    tracer: options.tracer,
    metrics,
    signal,
  };
}
