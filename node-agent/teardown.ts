import type { Log } from '../lib/base/log.ts';
import { messageOf } from '../lib/base/errors.ts';
import { podContainerOf } from './labels.ts';
import type { Disks } from './disks/disks.ts';
import type { PodCgroups } from './cgroups/pod-cgroups.ts';
import type { PodNetwork } from './network/pod-network.ts';
import type { PodStorage } from './pod-storage.ts';
import type { MemoryFiles } from './volumes/memory-files.ts';
import type { ContainerRuntime } from './runtime/runtime.ts';

export interface TeardownOptions {
  readonly runtime: ContainerRuntime;
  readonly network: PodNetwork;
  readonly storage: PodStorage;
  readonly disks: Disks;
  readonly memory: Pick<MemoryFiles, 'unmount'>;
  readonly log: Log;
  readonly cgroups?: PodCgroups | undefined;
  /** SIGKILL after so many seconds. */
  readonly graceSeconds: number;
}

/**
 * Ends every pod of this node and removes what the agent made on the machine: containers, devices, rules, folders. Disks that
 * outlive pods stay, unmounted. The API
 * is not asked: an agent that starts here again starts the pods that are bound to the node again.
 */
export async function teardown({
  runtime,
  network,
  storage,
  disks,
  memory,
  cgroups,
  log,
  graceSeconds,
}: TeardownOptions): Promise<void> {
  const found = await runtime.list();
  const containers = found.flatMap((is) => podContainerOf(is) ?? []);
  const apps = containers.filter((container) => container.kind !== 'sandbox');
  const uids = new Set([...containers.map((container) => container.uid), ...(await storage.list())]);
  log.info({ pods: uids.size, containers: containers.length }, 'ending the pods of this node');
  await Promise.all(apps.map(({ is }) => runtime.stop(is.id, graceSeconds)));
  await Promise.all(found.map(({ id }) => runtime.remove(id))); // those made in advance too
  await cgroups?.teardown();
  await network.teardown();
  for (const uid of uids) {
    await storage.remove(uid).catch((error: unknown) => {
      log.warn({ uid, error: messageOf(error) }, 'the folder of a pod could not be removed');
    });
  }
  await memory.unmount();
  await disks.unmount();
}
