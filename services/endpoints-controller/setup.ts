import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newEndpointsController, podIndexes } from './controller.ts';
import { Departures, endpointsIndexes } from './removal/departures.ts';
import { Fallen } from './removal/fallen.ts';
import { newRemovals } from './removal/removals.ts';
import { keysOfSlices, newSliceController, sliceIndexes, wakeSlices } from './slices/controller.ts';
import { wakeOnChanges } from './wake.ts';

/** Wires the loops to their views; `main.ts` runs them as a process. */
export const setup: ControllerSetup = (parts) => {
  const services = parts.view('services');
  const endpoints = parts.view('endpoints', { indexes: endpointsIndexes });
  const pods = parts.view('pods', { indexes: podIndexes });
  const namespaces = parts.view('namespaces');
  const views = { services, endpoints, pods, namespaces };
  let selectors = new SelectorIndex();
  let epoch = '';
  const departures = new Departures({
    ...{ pods, endpoints, podsKnown: () => pods.position.revision },
    matching: (namespace, labels) => selectors.matching(namespace, labels),
  });
  const world = {
    get epoch() {
      return endpoints.position.epoch;
    },
    leftAt: departures.leftAt.bind(departures),
  };
  let wake = (_pod: Pod): void => undefined;
  const fallen = new Fallen({
    clock: parts.clock,
    pod: (uid) => pods.by('uid', uid)[0],
    onChange: (pod) => {
      wake(pod);
    },
  });
  parts.signal.addEventListener('abort', () => {
    fallen.close();
  });
  const removals = parts.bus === undefined ? undefined : newRemovals({ ...parts, bus: parts.bus, world, fallen });
  endpoints.onChange((change) => {
    if (epoch !== world.epoch) departures.forget(); // perhaps a store whose revisions began anew
    epoch = world.epoch;
    departures.changed(change);
    removals?.changed();
  });
  pods.onChange(({ before, after }) => {
    fallen.heard(before, after);
    removals?.changed();
  });
  const watch = {
    begun: (key: string) => {
      departures.begun(key);
    },
    settled: (key: string) => {
      departures.settled(key);
      removals?.changed();
    },
  };
  const loop = {
    controller: newEndpointsController({ ...parts, ...views, isDown: (pod) => fallen.has(pod), watch }),
    keys: () => [...services.list(), ...endpoints.list()].map(keyOf),
    wake: (queue: KeyQueue) => {
      selectors = wakeOnChanges(queue, views);
      wake = ({ metadata: { namespace = '', labels } }) => {
        for (const key of selectors.matching(namespace, labels)) queue.add(key);
      };
    },
    object: (key: string) => services.get(key),
  };
  const told = { endpoints, slices: parts.view('endpointslices', { indexes: sliceIndexes }) };
  const slices = {
    controller: newSliceController({ ...parts, ...told }),
    keys: () => keysOfSlices(told),
    wake: (queue: KeyQueue) => wakeSlices(queue, told),
  };
  return [loop, slices, ...(removals === undefined ? [] : [removals])];
};
