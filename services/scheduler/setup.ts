import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { schedulerOptions } from './config.ts';
import { podIndexes, Scheduler } from './scheduler.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof schedulerOptions> = (parts) => {
  const { schedulerName, batch, sample } = parts.config;
  const limits = { schedulerName, batch, sample, inFlight: 4, bindForMs: 30_000 };
  return new Scheduler({
    ...parts,
    limits,
    nodes: parts.view('nodes'),
    pods: parts.view('pods', { indexes: podIndexes }),
    services: parts.view('services'),
    claims: parts.view('persistentvolumeclaims'),
    volumes: parts.view('persistentvolumes'),
    classes: parts.view('storageclasses'),
  });
};
