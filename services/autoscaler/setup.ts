import { keyOf } from '../../lib/api/keys.ts';
import { hearWanted } from '../../lib/bus/wanted.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { autoscalerOptions } from './config.ts';
import { Autoscaler } from './controller.ts';
import { Rates } from './sources/rates.ts';
import { Traffic } from './sources/traffic.ts';
import { Wants } from './wants.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof autoscalerOptions> = (parts) => {
  const autoscalers = parts.view('horizontalpodautoscalers');
  const pods = parts.view('pods');
  const services = parts.view('services');
  const definitions = parts.view('customresourcedefinitions');
  const nodes = parts.view('nodes');
  const { bus, cluster, clock } = parts;
  const { rateWindowMs: windowMs, askTimeoutMs: timeoutMs, ...limits } = parts.config;
  const running = (): ReadonlySet<string> => new Set(nodes.list().map(({ metadata }) => metadata.name));
  const wants = new Wants(clock);
  const controller = new Autoscaler({
    ...{ ...parts, autoscalers, pods, services, definitions, wants },
    traffic: new Traffic({ bus, cluster, clock, timeoutMs, windowMs, nodes: running }),
    scraping: { clock, rates: new Rates(windowMs), timeoutMs },
    limits: { ...limits, askTimeoutMs: timeoutMs },
  });
  return {
    controller,
    keys: () => autoscalers.list().map(keyOf),
    // Each pass writes a status, and that is no reason for the next one.
    wake: (queue) => {
      if (bus !== undefined)
        hearWanted(bus, { cluster, signal: parts.signal }, (wanted) => {
          wants.note(wanted);
          for (const key of controller.wokenBy(wanted)) queue.add(key);
        });
      return autoscalers.onChange(({ key, before, after }) => {
        if (before?.metadata.generation !== after?.metadata.generation) queue.add(key);
      });
    },
    object: (key) => autoscalers.get(key),
  };
};
