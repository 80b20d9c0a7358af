import { systemClock } from '../../../../lib/base/clock.ts';
import { newFanOut } from '../../../../services/apiserver/door/fan-out.ts';
import { newIdentities } from '../../../../services/apiserver/identity/identities.ts';
import { newRegistry, type RunningRegistry } from '../../../../services/apiserver/registry/index.ts';
import { newRestDoor, type DoorParts } from '../../../../services/apiserver/rest/door.ts';
import { newRestServer, type RestServerOptions } from '../../../../services/apiserver/rest/http.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import type { Store } from '../../../../services/apiserver/store/store.ts';
import { noNodeStreams } from '../../../../services/apiserver/streams/node-streams.ts';
import { newUsage } from '../../../../services/apiserver/usage/usage.ts';

const open: (() => Promise<void>)[] = [];

/** Ends every door that a test has opened. */
export async function closeDoors(): Promise<void> {
  for (const close of open.splice(0).reverse()) await close();
}

export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly json: T;
}

export interface ADoor {
  readonly url: string;
  readonly registry: RunningRegistry;
  readonly parts: DoorParts;
  /** A request with a JSON body, and the JSON that comes back. */
  ask<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<T>>;
}

/** A REST door over a registry in memory, or in a store that holds something already, at a port of its own, that takes everybody for the administrator. */
export async function aDoor(
  more: Partial<DoorParts> = {},
  http: Partial<RestServerOptions> = {},
  store: Store = new MemoryStore({ clock: systemClock }),
): Promise<ADoor> {
  const registry = await newRegistry({ store });
  open.push(() => registry.close());
  const parts: DoorParts = {
    registry,
    identities: newIdentities({ registry, clock: systemClock }),
    streams: noNodeStreams,
    fanOut: newFanOut(registry),
    usage: newUsage(registry, undefined),
    clock: systemClock,
    random: () => 0.5,
    checks: () => [],
    fallback: { user: 'admin', groups: ['system:masters'] },
    ...more,
  };
  const server = newRestServer({ door: newRestDoor(parts), ...http });
  const url = `${http.certificate === undefined ? 'http' : 'https'}://${await server.start('127.0.0.1:0')}`;
  open.push(() => server.stop());
  return {
    url,
    registry,
    parts,
    async ask<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      const init =
        body === undefined
          ? {}
          : { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) };
      const reply = await fetch(url + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...init,
      });
      const text = await reply.text();
      return {
        status: reply.status,
        headers: reply.headers,
        json: (text.startsWith('{') ? JSON.parse(text) : text) as T,
      };
    },
  };
}

export const rc = (name = 'web', spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ReplicationController',
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { app: name },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image: 'web:1' }] } },
    ...spec,
  },
});
