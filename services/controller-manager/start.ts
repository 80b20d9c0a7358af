import type { ConfigTable } from '../../lib/base/config.ts';
import { startController, type ControllerContext } from '../../lib/controller/service.ts';
import { newSharedViews } from '../../lib/view/shared.ts';
import { configOf } from './config.ts';
import { allHosted } from './loops.ts';

/** Starts the named services in this process: each with its own Lease, log name and readiness, all on the same connections and views. */
export async function startTogether(context: ControllerContext<ConfigTable>, names: readonly string[]): Promise<void> {
  const { client, bus, clock, log, telemetry, signal, config } = context;
  const { cluster } = config as unknown as { readonly cluster: string };
  const sharedViews = newSharedViews({ client, bus, cluster, clock, log, meter: telemetry.meter, signal });
  for (const hosted of allHosted.filter(({ name }) => names.includes(name)))
    await startController(
      hosted.name,
      {
        ...context,
        config: configOf(hosted, config) as typeof config,
        log: log.child({ controller: hosted.name }),
        telemetry: {
          ...telemetry,
          ready: (part, check) => {
            telemetry.ready(`${hosted.name}/${part}`, check);
          },
        },
        sharedViews,
      },
      hosted.setup,
      hosted.naming,
    );
}
