import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import type { jobOptions } from './config.ts';
import { JobManager } from './controller.ts';
import { CronManager, jobIndexes, wakeCrons } from './cron/controller.ts';
import { podIndexes, trackedKeys, wakeOnChanges } from './wake.ts';

/** Wires both loops to their views; `main.ts` runs it as a process. */
export const setup: ControllerSetup<typeof jobOptions> = (parts) => {
  const jobs = parts.view('jobs', { indexes: jobIndexes });
  const crons = parts.view('cronjobs');
  const pods = parts.view('pods', { indexes: podIndexes });
  const { burst, backoffMs, maxBackoffMs, statusIntervalMs } = parts.config;
  return [
    {
      controller: new JobManager({
        ...parts,
        jobs,
        pods,
        limits: { burst, backoffMs, maxBackoffMs },
        statusIntervalMs,
      }),
      keys: () => new Set([...jobs.list().map(keyOf), ...trackedKeys(pods)]),
      wake: (queue) => wakeOnChanges(queue, jobs, pods),
      object: (key) => jobs.get(key),
    },
    {
      controller: new CronManager({ ...parts, crons, jobs }),
      keys: () => crons.list().map(keyOf),
      wake: (queue) => wakeCrons(queue, crons, jobs),
      object: (key) => crons.get(key),
    },
  ];
};
