import { amountText } from '../../../../lib/api/bounds/quota.ts';
import { keyOf, splitKey } from '../../../../lib/api/keys.ts';
import type { ResourceQuota } from '../../../../lib/api/objects.ts';
import { hasReason, messageOf } from '../../../../lib/base/errors.ts';
import type { Log } from '../../../../lib/base/log.ts';
import { rewrite, type Core } from '../core.ts';
import { nextStatus } from '../next.ts';
import { kindNamed } from '../kinds.ts';

/** Changes that come together are told together. */
const settleMs = 100;
const retryMs = 1_000;

/**
 * Keeps `status.hard` and `status.used` of every ResourceQuota equal to what the door counts (docs/decisions/quotas-at-the-door.md). Several servers may do
 * so: what is right already is not written. Ends with the returned function.
 */
export function keepQuotaStatus(core: Core, log?: Log): () => void {
  const dirty = new Set<string>();
  const quotas = core.cache.filing('resourcequotas');
  let stopped = false;
  let cancel: (() => void) | undefined;
  let busy = false;

  const schedule = (ms: number): void => {
    if (stopped || busy || cancel !== undefined) return;
    cancel = core.clock.after(ms, () => {
      cancel = undefined;
      void settle();
    });
  };
  const settle = async (): Promise<void> => {
    busy = true;
    let failed = false;
    const namespaces = [...dirty];
    dirty.clear();
    for (const namespace of namespaces) {
      try {
        for (const quota of core.quotas.quotasIn(namespace)) await write(core, quota);
      } catch (error) {
        if (stopped) return;
        failed = true;
        dirty.add(namespace);
        log?.warn({ namespace, error: messageOf(error) }, 'could not say what is used of a quota; trying again');
      }
    }
    busy = false;
    if (dirty.size > 0) schedule(failed ? retryMs : settleMs);
  };
  core.cache.onEveryChange((_resource, key) => {
    if (quotas.size === 0) return;
    const { namespace } = splitKey(key);
    if (namespace === undefined || !quotas.hasAny(namespace)) return;
    dirty.add(namespace);
    schedule(settleMs);
  });
  for (const { key } of quotas.entries()) dirty.add(splitKey(key).namespace ?? '');
  if (dirty.size > 0) schedule(0);
  return () => {
    stopped = true;
    cancel?.();
  };
}

async function write(core: Core, { metadata }: ResourceQuota): Promise<void> {
  const info = kindNamed(core.kinds, 'resourcequotas');
  try {
    await rewrite(
      core,
      { resource: 'resourcequotas', key: keyOf({ metadata }) },
      (current) => {
        const quota = current.object as unknown as ResourceQuota;
        const used = Object.fromEntries(
          [...core.quotas.used(quota)].map(([name, amount]) => [name, amountText(name, amount)]),
        );
        const status = { hard: quota.spec.hard ?? {}, used };
        return nextStatus(core, info, current, { object: { ...current.object, status } });
      },
      {},
    );
  } catch (error) {
    if (!hasReason(error, 'NotFound')) throw error;
  }
}
