/** What `troupe up` was asked for, complete. */
export interface ClusterOptions {
  readonly cluster: string;
  readonly dataDir: string;
  /** Where the built bundles are. */
  readonly distDir: string;
  readonly host: string;
  readonly apiPort: number;
  /** Where the REST API is, for kubectl. */
  readonly httpsPort: number;
  /** The services' telemetry endpoints take the ports from here on, one each. */
  readonly telemetryPort: number;
  readonly natsPort: number;
  readonly nodeName: string;
  /** The engine's socket; `ownEngine` says that it is one that this cluster starts. */
  readonly dockerSocket: string;
  readonly ownEngine: boolean;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly proxyMode: string;
  /** Addresses for Services of type LoadBalancer; empty: they stay without one. */
  readonly loadBalancerPool: string;
  /** The controllers in one process instead of one each. */
  readonly together: boolean;
}

/** How one sees from outside that a part does its work. */
export type ReadyCheck =
  | { readonly kind: 'http'; readonly address: string; readonly path: string }
  | { readonly kind: 'socket'; readonly path: string; readonly request: string };

/** One process of the cluster, as the supervisor runs it. */
export interface Part {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly ready: ReadyCheck;
  /** Where its metrics are, when it has any. */
  readonly telemetry?: string;
  /** Everybody waits for the little that it does at a time, and it cannot say so itself (`raisePriority`). */
  readonly urgent?: true;
  /** What to run once after this part has stopped for good, to take away what it left in the machine on purpose. */
  readonly cleanup?: { readonly command: string; readonly args: readonly string[] };
}
