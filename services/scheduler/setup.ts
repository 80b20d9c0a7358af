import { ConfigError } from '../../lib/base/config.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { schedulerOptions } from './config.ts';
import { followRooms } from './measured.ts';
import { ModuleFailures } from './module/failures.ts';
import { loadModule } from './module/load.ts';
import { withModule } from './module/module-profile.ts';
import { profiles } from '../../lib/placing/profile.ts';
import { podIndexes, Scheduler } from './scheduler.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof schedulerOptions> = async (parts) => {
  const { schedulerName, batch, sample, module: path, moduleDeadline: deadlineMs } = parts.config;
  const limits = { schedulerName, batch, sample, inFlight: 4, bindForMs: 30_000 };
  const nodes = parts.view('nodes');
  const failures = new ModuleFailures(parts);
  const module =
    path === ''
      ? undefined
      : await loadModule(path).catch((error: unknown) => {
          throw new ConfigError(`--module: ${messageOf(error)}`);
        });
  const own = profiles[parts.config.profile];
  const rules = {
    nodeOf: (name: string) => nodes.get(name),
    deadlineMs,
    onFailure: (rule: string, message: string) => {
      failures.add(rule, message);
    },
  };
  const { bus } = parts;
  const scheduler = new Scheduler({
    ...parts,
    ...(bus === undefined
      ? {}
      : {
          rooms: (onRoom) => {
            followRooms({ ...parts, bus }, onRoom);
          },
        }),
    limits,
    profile: module === undefined ? own : withModule(own, module, rules),
    nodes,
    pods: parts.view('pods', { indexes: podIndexes }),
    services: parts.view('services'),
    budgets: parts.view('poddisruptionbudgets'),
    namespaces: parts.view('namespaces'),
    claims: parts.view('persistentvolumeclaims'),
    volumes: parts.view('persistentvolumes'),
    classes: parts.view('storageclasses'),
  });
  await module?.start?.({
    signal: parts.signal,
    changed: () => {
      scheduler.rulesChanged();
    },
  });
  return scheduler;
};
