import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newEndpointsController, podIndexes } from './controller.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup = (parts) => {
  const services = parts.view('services');
  const endpoints = parts.view('endpoints');
  const pods = parts.view('pods', { indexes: podIndexes });
  return {
    controller: newEndpointsController({ ...parts, services, endpoints, pods }),
    keys: () => [...services.list(), ...endpoints.list()].map(keyOf),
    wake: (queue) => wakeOnChanges(queue, services, endpoints, pods),
    object: (key) => services.get(key),
  };
};
