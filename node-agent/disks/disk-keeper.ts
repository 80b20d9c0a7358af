import type { Meter, Tracer } from '@opentelemetry/api';
import { hasReason } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { isGone } from '../../lib/api/ending.ts';
import type { PersistentVolume } from '../../lib/api/objects.ts';
import { unitsOf } from '../../lib/api/quantity.ts';
import { diskFinalizer, diskNodeLabel } from '../../lib/api/storage.ts';
import type { Client } from '../../lib/client/client.ts';
import { TerminalError, type Controller } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import { newLoop } from '../../lib/controller/loop.ts';
import type { ViewScope } from '../../lib/view/views.ts';
import type { LiveView } from '../../lib/view/views.ts';
import type { Disks } from './disks.ts';
import { diskStep } from './disk-step.ts';

/** The volumes whose disks a node makes and removes. */
export const disksOfNode = (node: string): ViewScope<'persistentvolumes'> => ({
  select: {
    labelSelector: `${diskNodeLabel}=${node}`,
    matches: ({ metadata }) => metadata.labels?.[diskNodeLabel] === node,
  },
});

export interface DiskKeeperOptions {
  readonly node: string;
  /** Scoped by `disksOfNode`. */
  readonly volumes: LiveView<PersistentVolume>;
  readonly disks: Disks;
  readonly client: Pick<Client, 'get' | 'update'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly tracer: Tracer;
  readonly recorder?: Recorder;
  readonly signal: AbortSignal;
}

/**
 * Makes the disks that volumes of this node are to have, and removes those of volumes that go. Writes one finalizer of volumes. A disk
 * counts as made when the volume has the finalizer: from then on only the end of the volume removes it, and it is never made again.
 */
export function newDiskKeeper({ node, volumes, disks, client }: DiskKeeperOptions): Controller {
  return {
    name: 'disks',
    async sync(name) {
      const seen = volumes.get(name);
      if (seen === undefined || diskStep(seen, node, disks.folder) === undefined) return;
      const volume = await client.get('persistentvolumes', name); // what follows makes or destroys: not by a late view
      const step = volume === undefined ? undefined : diskStep(volume, node, disks.folder);
      if (volume === undefined || step === undefined) return;
      switch (step.type) {
        case 'make':
          return make(volume);
        case 'letGo':
          if (step.removes) await disks.remove(name);
          return write(
            volume,
            (volume.metadata.finalizers ?? []).filter((each) => each !== diskFinalizer),
          );
        case 'refuse':
          throw new TerminalError(step.message);
      }
    },
  };

  async function make(volume: PersistentVolume): Promise<void> {
    const { name, finalizers = [] } = volume.metadata;
    const { capacity, local } = volume.spec;
    await disks.make({ name, fsType: local?.fsType, sizeBytes: unitsOf(capacity['storage'] ?? 0) });
    try {
      await write(volume, [...finalizers, diskFinalizer]);
    } catch (error) {
      // Taken back meanwhile. Where another write came between, the disk is there for the next try.
      if (hasReason(error, 'NotFound', 'Invalid')) await disks.unmake(name);
      throw error;
    }
  }

  async function write(volume: PersistentVolume, finalizers: readonly string[]): Promise<void> {
    const written = await client.update('persistentvolumes', {
      ...volume,
      metadata: { ...volume.metadata, finalizers },
    });
    if (isGone(written)) volumes.wroteDeletion(written);
    else volumes.wrote(written);
  }
}

/** Keeps the disks of a node until `signal` aborts. */
export function startDiskKeeper(options: DiskKeeperOptions): Promise<void> {
  const { volumes, signal } = options;
  const loop = newLoop(newDiskKeeper(options), {
    ...options,
    views: [volumes],
    keys: () => volumes.list().map(({ metadata }) => metadata.name),
    wake: (queue) => {
      volumes.onChange(({ key }) => {
        queue.add(key);
      });
    },
    object: (key) => volumes.get(key),
  });
  return loop.run(signal);
}
