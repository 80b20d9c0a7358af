import type { ConfigTable } from '../../lib/base/config.ts';
import type { ControllerSetup, ElectionNaming } from '../../lib/controller/service.ts';
import { autoscalerOptions } from '../autoscaler/config.ts';
import { setup as autoscaler } from '../autoscaler/setup.ts';
import { daemonOptions } from '../daemonset-controller/config.ts';
import { setup as daemons } from '../daemonset-controller/setup.ts';
import { setup as deployments } from '../deployment-controller/setup.ts';
import { setup as disruptions } from '../disruption-controller/setup.ts';
import { setup as endpoints } from '../endpoints-controller/setup.ts';
import { setup as garbage } from '../garbage-collector/setup.ts';
import { jobOptions } from '../job-controller/config.ts';
import { setup as jobs } from '../job-controller/setup.ts';
import { nodeControllerOptions } from '../node-controller/config.ts';
import { setup as nodes } from '../node-controller/setup.ts';
import { persistentVolumeOptions } from '../persistent-volume-controller/config.ts';
import { setup as volumes } from '../persistent-volume-controller/setup.ts';
import { rebalancerOptions } from '../rebalancer/config.ts';
import { setup as rebalancer } from '../rebalancer/setup.ts';
import { replicationOptions } from '../replication-controller/config.ts';
import { setup as replication } from '../replication-controller/setup.ts';
import { leaseOf, schedulerOptions } from '../scheduler/config.ts';
import { setup as scheduler } from '../scheduler/setup.ts';

/** One service as it runs beside others in a process. */
export interface Hosted {
  readonly name: string;
  readonly table: ConfigTable;
  readonly setup: ControllerSetup;
  readonly naming: ElectionNaming<ConfigTable>;
}

const hosted = <T extends ConfigTable>(
  name: string,
  table: T,
  setup: ControllerSetup<T>,
  naming: ElectionNaming<T> = {},
): Hosted => ({ name, table, setup, naming }) as unknown as Hosted;

/** Every service that is a controller, but for the one that drives HAProxy on its machine: that has its own life. */
export const allHosted: readonly Hosted[] = [
  hosted('autoscaler', autoscalerOptions, autoscaler),
  hosted('daemonset-controller', daemonOptions, daemons),
  hosted('deployment-controller', {}, deployments),
  hosted('disruption-controller', {}, disruptions),
  hosted('endpoints-controller', {}, endpoints),
  hosted('garbage-collector', {}, garbage),
  hosted('job-controller', jobOptions, jobs),
  hosted('node-controller', nodeControllerOptions, nodes),
  hosted('persistent-volume-controller', persistentVolumeOptions, volumes),
  hosted('rebalancer', rebalancerOptions, rebalancer),
  hosted('replication-controller', replicationOptions, replication),
  hosted('scheduler', schedulerOptions, scheduler, { lease: leaseOf }),
];
