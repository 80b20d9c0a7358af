import type { Socket } from 'node:net';

/**
 * What decides which backend serves a connection or a request (F148). This file is the contract for modules of others:
 * `docs/traffic-policies.md` tells how to write and load one.
 *
 * A policy is made once for each service port that names it, and lives as long as that port does, whatever endpoints come and go.
 * It runs in the proxy's own process: it must not block, and what it throws refuses the one connection or request it was asked about.
 */
export interface PolicyModule {
  /** By the name that Services give in `troupe.dev/proxy-policy`. */
  readonly policies: Readonly<Record<string, (service: PolicyService) => Policy>>;
}

export type Policy = ChoosingPolicy | ServingPolicy;

/** Chooses among the backends of its own Service; the proxy does the rest. */
export interface ChoosingPolicy {
  /**
   * The backend for one connection, or for one request where the port's `appProtocol` says http or h2c. `backends` is never empty, sorted by
   * address, and without those that have failed this connection or request already: asked again means that the last choice could not be had.
   * Undefined: the connection is refused, the request answered with 503.
   */
  choose(what: Choice, backends: readonly PolicyBackend[]): PolicyBackend | undefined;
  /** `backend` could be had. Optional; for policies that remember. */
  chosen?(what: Choice, backend: PolicyBackend): void;
}

/** Speaks the application's protocol itself: it takes each connection over and opens connections to backends as it needs them. */
export interface ServingPolicy {
  /**
   * `connection.client` is paused: add listeners, then resume it. The connection is the policy's from here on: it ends both sides, also when
   * one of them breaks. A rejection resets the client.
   */
  serve(connection: PolicyConnection): void | Promise<void>;
}

/** The service port that a policy was made for. */
export interface PolicyService {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** The pairs of the annotation `troupe.dev/proxy-policy-options`. A change makes the policy anew. */
  readonly options: Readonly<Record<string, string>>;
  /** For people: goes to the proxy's log. */
  log(message: string, facts?: Readonly<Record<string, unknown>>): void;
}

/** What a backend is chosen for. */
export interface Choice {
  /** The address that the connection comes from. */
  readonly client: string;
  readonly clientPort: number;
  /** Where the choice is by request. */
  readonly request?: {
    readonly method: string;
    /** As in the request line, or `:path`. */
    readonly target: string;
    /** The first field of that name (lower case); undefined when there is none. */
    header(name: string): string | undefined;
  };
}

/** One endpoint. The same object for as long as the endpoint is one of its service port. */
export interface PolicyBackend {
  /** `10.1.2.3:8080` */
  readonly address: string;
  readonly ip: string;
  readonly port: number;
  /** Connections and requests that it has from this proxy through this service port, now. */
  readonly active: number;
  /** On the proxy's own node. */
  readonly local: boolean;
  readonly nodeName: string | undefined;
  /** As in the Endpoints, for pods that have one. */
  readonly hostname: string | undefined;
  /** `namespace/name`; undefined for endpoints that are no pods. */
  readonly pod: string | undefined;
}

/** A connection that a serving policy has taken over. */
export interface PolicyConnection {
  readonly client: Socket;
  readonly clientAddress: string;
  /**
   * The backends of this service port now, sorted by address; with a name, those of another Service of the namespace (its port `port`, or its
   * only one). Empty when there are none, or no such Service.
   */
  backends(service?: string, port?: number): readonly PolicyBackend[];
  /**
   * Opens a connection to a backend. Undefined when it cannot be had: it refused, did not answer in time, or left meanwhile. The proxy ends the
   * connection when the backend is known dead; when it leaves in a planned way, `leaving` of the answer is aborted and the policy has until the
   * pod's own end to finish what is under way.
   */
  dial(backend: PolicyBackend): Promise<PolicyDial | undefined>;
  /** Counts one request for the metrics: `ok`, or a word for what went wrong. */
  count(backend: PolicyBackend, outcome: string): void;
  /** Aborted when the service port goes, or the proxy stops: finish what is under way and end. */
  readonly closing: AbortSignal;
}

export interface PolicyDial {
  readonly socket: Socket;
  readonly backend: PolicyBackend;
  readonly leaving: AbortSignal;
}
