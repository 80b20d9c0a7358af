import { createServer, type Server, type ServerResponse } from 'node:http';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Service } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import type { View } from '../../lib/view/view.ts';

export interface HealthPortsOptions {
  readonly services: View<Service>;
  /** How many endpoints of a service this node leads to at this moment; undefined: its rules are not in effect. */
  readonly localEndpoints: (service: Key) => number | undefined;
  /** Another program has the port of a service. */
  readonly onTaken: (service: Service, why: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  /** All of this node's, unless a test says otherwise. */
  readonly host?: string;
}

/** A port that another program has is tried again so often. */
const againMs = 5_000;
/** Balancers ask every few seconds, from a few machines. */
const mostConnections = 64;

/** The port on which balancers ask this node about a service; undefined where it has none. */
export const healthPortOf = ({ spec, metadata }: Service): number | undefined =>
  spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local' && metadata.deletionTimestamp === undefined
    ? spec.healthCheckNodePort || undefined
    : undefined;

/**
 * Answers balancers outside that ask, on `healthCheckNodePort` of a Service with external traffic policy Local, whether this node has endpoints of it:
 * 200 where it has, 503 where it has none or its rules are not in effect, with the number as JSON in the form that Kubernetes' proxies use.
 * What is answered is what traffic meets at that moment, not what the API says.
 */
export class HealthPorts {
  readonly #o: HealthPortsOptions;
  /** By service; the server is absent while its port is another program's. */
  readonly #open = new Map<Key, { readonly port: number; readonly server: Server; cancel: () => void }>();
  #stop = (): void => undefined;

  constructor(options: HealthPortsOptions) {
    this.#o = options;
  }

  start(): void {
    for (const service of this.#o.services.list()) this.#settle(keyOf(service), service);
    this.#stop = this.#o.services.onChange(({ key, after }) => this.#settle(key, after));
  }

  close(): void {
    this.#stop();
    for (const key of [...this.#open.keys()]) this.#end(key);
  }

  #settle(key: Key, service: Service | undefined): void {
    const port = service && healthPortOf(service);
    const open = this.#open.get(key);
    if (open?.port === port) return;
    if (open !== undefined) this.#end(key);
    if (port !== undefined && service !== undefined) this.#begin(key, service, port);
  }

  #begin(key: Key, service: Service, port: number): void {
    const server = createServer({ keepAliveTimeout: 15_000, requestTimeout: 5_000 }, (_request, response) =>
      answer(response, key, this.#o.localEndpoints(key)),
    );
    server.maxConnections = mostConnections;
    const entry = { port, server, cancel: (): void => undefined };
    this.#open.set(key, entry);
    const listen = (): void => void server.listen({ port, host: this.#o.host ?? '0.0.0.0' });
    server.on('error', (error) => {
      this.#o.log.warn({ service: key, port, error }, 'could not serve the health check port of a service');
      this.#o.onTaken(service, `port ${port} cannot be listened on: ${messageOf(error)}`);
      entry.cancel = this.#o.clock.after(againMs, listen);
    });
    listen();
  }

  #end(key: Key): void {
    const open = this.#open.get(key);
    this.#open.delete(key);
    open?.cancel();
    open?.server.close();
    open?.server.closeAllConnections();
  }
}

function answer(response: ServerResponse, service: Key, found: number | undefined): void {
  const [namespace, name] = service.split('/');
  const localEndpoints = found ?? 0;
  const text = JSON.stringify({
    ...{ service: { namespace, name }, localEndpoints },
    serviceProxyHealthy: found !== undefined,
  });
  response.writeHead(localEndpoints > 0 ? 200 : 503, {
    'Content-Type': 'application/json',
    'X-Content-Type-Options': 'nosniff',
    'X-Load-Balancing-Endpoint-Weight': String(localEndpoints),
  });
  response.end(text);
}
