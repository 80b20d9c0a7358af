import type { MutableJson } from '../../../lib/api/json.ts';
import { rootCertificates } from '../../../lib/api/defaults/token-volume.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { storeKeyOf } from '../cache/cache.ts';
import { defaultAccount } from '../identity/admission.ts';
import { StoreConflict, type StoreOp } from '../store/store.ts';
import { storedForm, type Core } from './core.ts';

/**
 * What every namespace has: its default account, and by what its pods know the API. Committed together with the namespace, so that no pod ever
 * comes before them (docs/decisions/default-accounts.md).
 */
export function givenOps(core: Core, namespace: string): readonly StoreOp[] {
  return [accountOp(core, namespace), ...rootCertificateOps(core, namespace)];
}

/** Makes what is missing: somebody deleted it, or the namespace is older. A certificate that is no more the right one is replaced. */
export async function ensureGiven(core: Core, namespace: string): Promise<void> {
  if (core.cache.get('serviceaccounts', makeKey(namespace, defaultAccount)) === undefined)
    await commit(core, { ...accountOp(core, namespace), ifRevision: 0 });
  const found = core.cache.get('configmaps', makeKey(namespace, rootCertificates.name));
  const { rootCertificate } = core;
  if (rootCertificate === undefined || found?.json.includes(JSON.stringify(rootCertificate)) === true) return;
  for (const op of rootCertificateOps(core, namespace)) await commit(core, { ...op, ifRevision: found?.revision ?? 0 });
}

async function commit(core: Core, op: StoreOp): Promise<void> {
  try {
    await core.store.commit([op]);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error; // made meanwhile
  }
}

const accountOp = (core: Core, namespace: string): StoreOp =>
  opOf('serviceaccounts', { kind: 'ServiceAccount', ...metadataFor(core, namespace, defaultAccount) });

/** None where pods do not ask by REST. */
function rootCertificateOps(core: Core, namespace: string): readonly StoreOp[] {
  if (core.rootCertificate === undefined) return [];
  const data = { [rootCertificates.key]: core.rootCertificate };
  return [opOf('configmaps', { kind: 'ConfigMap', ...metadataFor(core, namespace, rootCertificates.name), data })];
}

const metadataFor = (core: Core, namespace: string, name: string) => ({
  metadata: { name, namespace, uid: core.uuid(), creationTimestamp: rfc3339(core.clock.now()) },
});

type Draft = { readonly metadata: { readonly name: string; readonly namespace: string } } & Record<string, unknown>;

function opOf(resource: Resource, object: Draft): StoreOp {
  const { namespace, name } = object.metadata;
  const whole = { apiVersion: 'v1', ...object } as unknown as MutableJson;
  return { key: storeKeyOf(resource, makeKey(namespace, name)), value: storedForm(resource, whole) };
}
