import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newClaimController } from './claim-controller.ts';
import type { persistentVolumeOptions } from './config.ts';
import { ensureDefaultClass } from './default-class.ts';
import { claimIndexes, podIndexes, volumeIndexes, type Parts } from './parts.ts';
import { newVolumeController } from './volume-controller.ts';
import { wakeClaims, wakeVolumes } from './wake.ts';

/** Wires the loops to their views; `main.ts` runs them as a process. */
export const setup: ControllerSetup<typeof persistentVolumeOptions> = (shared) => {
  const { client, recorder, clock, config } = shared;
  const parts: Parts = {
    ...{ client, recorder, clock },
    claims: shared.view('persistentvolumeclaims', { indexes: claimIndexes }),
    volumes: shared.view('persistentvolumes', { indexes: volumeIndexes }),
    classes: shared.view('storageclasses'),
    nodes: shared.view('nodes'),
    pods: shared.view('pods', { indexes: podIndexes }),
  };
  const defaultClass = {
    name: 'default-class',
    run: async (signal: AbortSignal): Promise<void> => {
      if (config.defaultClass) await ensureDefaultClass(client);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
  };
  return [
    {
      controller: newClaimController(parts),
      keys: () => parts.claims.list().map(keyOf),
      wake: (queue) => wakeClaims(queue, parts),
      object: (key) => parts.claims.get(key),
    },
    {
      controller: newVolumeController(parts),
      keys: () => parts.volumes.list().map(keyOf),
      wake: (queue) => wakeVolumes(queue, parts),
      object: (key) => parts.volumes.get(key),
    },
    defaultClass,
  ];
};
