import { makeKey } from '../../../lib/api/keys.ts';
import type { MutableJson } from '../../../lib/api/json.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { storeKeyOf } from '../cache/cache.ts';
import { defaultAccount } from '../identity/admission.ts';
import { StoreConflict, type StoreOp } from '../store/store.ts';
import { storedForm, type Core } from './core.ts';

/**
 * The account that every namespace has: committed together with the namespace, so that no pod ever comes before it
 * (docs/decisions/default-accounts.md).
 */
export function defaultAccountOp(core: Core, namespace: string): StoreOp {
  const account: MutableJson = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: {
      name: defaultAccount,
      namespace,
      uid: core.uuid(),
      creationTimestamp: rfc3339(core.clock.now()),
    },
  };
  const key = storeKeyOf('serviceaccounts', makeKey(namespace, defaultAccount));
  return { key, value: storedForm('serviceaccounts', account) };
}

/** Makes it where it is missing: somebody deleted it, or the namespace is older than accounts are. */
export async function ensureDefaultAccount(core: Core, namespace: string): Promise<void> {
  if (core.cache.get('serviceaccounts', makeKey(namespace, defaultAccount)) !== undefined) return;
  try {
    await core.store.commit([{ ...defaultAccountOp(core, namespace), ifRevision: 0 }]);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error; // made meanwhile
  }
}
