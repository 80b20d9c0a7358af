import assert from 'node:assert/strict';
import { hasReason, isApiError, messageOf, type ApiError, type Reason } from '../../../../lib/base/errors.ts';
import {
  newRegistry,
  type RegistryOptions,
  type RunningRegistry,
} from '../../../../services/apiserver/registry/index.ts';
import type { WatchBatch } from '../../../../services/apiserver/registry/registry.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

export interface RegistryUnderTest {
  readonly registry: RunningRegistry;
  readonly store: MemoryStore;
  readonly clock: FakeClock;
}

const open: RegistryUnderTest[] = [];

/** A registry on a memory store and a clock that stands still; closed after the test by `closeAll`. */
export async function aRegistry(options: Partial<RegistryOptions> = {}): Promise<RegistryUnderTest> {
  const clock = new FakeClock();
  const store = new MemoryStore({ clock });
  const registry = await newRegistry({ store, clock, ...options });
  const made = { registry, store, clock };
  open.push(made);
  return made;
}

export async function closeAll(): Promise<void> {
  for (const { registry, store } of open.splice(0)) {
    await registry.close();
    await store.close();
  }
}

/** An object of any kind as tests look into it: what is not there reads as undefined all the same. */
export interface Seen {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    resourceVersion: string;
    creationTimestamp: string;
    generation: number;
    labels: Record<string, string>;
    annotations: Record<string, string>;
    finalizers?: string[];
    deletionTimestamp: string;
    deletionGracePeriodSeconds: number;
  };
  spec: {
    replicas: number;
    restartPolicy: string;
    nodeName: string;
    containers: [{ image: string }];
    clusterIP: string;
    clusterIPs: string[];
    ports: [{ nodePort: number }, ...{ nodePort: number }[]];
    selector: Record<string, string>;
    finalizers: string[];
  };
  status: { phase: string; podIP: string; conditions: unknown[]; capacity: Record<string, string> };
}

export const objectOf = (written: { readonly served: { readonly json: Buffer } }): Seen =>
  JSON.parse(written.served.json.toString('utf8')) as Seen;

/** Drafts as a person would write them. */
export const podDraft = (metadata: object = { name: 'web' }, spec: object = {}): Record<string, unknown> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...spec },
});
export const rcDraft = (metadata: object = { name: 'web' }, spec: object = {}): Record<string, unknown> => ({
  metadata,
  spec: {
    replicas: 2,
    selector: { app: 'web' },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'web:1' }] } },
    ...spec,
  },
});
export const serviceDraft = (metadata: object = { name: 'web' }, spec: object = {}): Record<string, unknown> => ({
  metadata,
  spec: { selector: { app: 'web' }, ports: [{ port: 80 }], ...spec },
});

export async function rejects(work: Promise<unknown>, reason: Reason, message?: RegExp | string): Promise<ApiError> {
  let caught: unknown;
  await work.catch((error: unknown) => {
    caught = error;
  });
  assert.ok(isApiError(caught), `expected ${reason}, got ${caught === undefined ? 'success' : messageOf(caught)}`);
  assert.ok(hasReason(caught, reason), `expected ${reason}, got ${caught.reason}: ${caught.message}`);
  if (typeof message === 'string') assert.equal(caught.message, message);
  else if (message !== undefined) assert.match(caught.message, message);
  return caught;
}

/** Reads a watch until `enough` says so of all changes so far. */
export async function readWatch(
  watch: AsyncIterable<WatchBatch>,
  enough: (told: readonly string[], revision: number) => boolean,
): Promise<string[]> {
  const told: string[] = [];
  for await (const batch of watch) {
    for (const { type, served } of batch.changes) {
      const { metadata } = objectOf({ served });
      assert.equal(metadata.resourceVersion, String(served.revision));
      told.push(`${type} ${metadata.name}`);
    }
    if (enough(told, batch.revision)) break;
  }
  return told;
}
