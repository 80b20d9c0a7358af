import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { schedulerOptions } from './config.ts';
import { Scheduler } from './scheduler.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof schedulerOptions> = (parts) => {
  const { schedulerName, batch, sample } = parts.config;
  const limits = { schedulerName, batch, sample, inFlight: 4, bindForMs: 30_000 };
  const [nodes, pods, services] = [parts.view('nodes'), parts.view('pods'), parts.view('services')];
  return new Scheduler({ ...parts, nodes, pods, services, limits });
};
