import { messageOf } from '../lib/base/errors.ts';
import type { Log } from '../lib/base/log.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import type { PodStorage } from './pod-storage.ts';

/** Removes the folders of pods that are not to be kept; what cannot be removed now is tried again with the next list. */
export async function sweepFolders(
  storage: PodStorage,
  isKept: (uid: string) => boolean,
  log: Pick<Log, 'warn'>,
): Promise<void> {
  for (const uid of await storage.list()) {
    if (isKept(uid)) continue;
    await storage.remove(uid).catch((error: unknown) => {
      log.warn({ uid, error: messageOf(error) }, 'the folder of a pod that is gone could not be removed');
    });
  }
}

/** The same for their control groups. */
export async function sweepGroups(
  cgroups: PodCgroups | undefined,
  isKept: (uid: string) => boolean,
  log: Pick<Log, 'warn'>,
): Promise<void> {
  try {
    for (const uid of (await cgroups?.list()) ?? []) if (!isKept(uid)) await cgroups?.remove(uid);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'control groups of pods that are gone could not be removed');
  }
}
