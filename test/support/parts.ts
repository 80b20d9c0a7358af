/** The parts of a cluster that run once, in the order in which they are started by hand. */
export const controlPlane = [
  'nats',
  'apiserver',
  'scheduler',
  'replication-controller',
  'deployment-controller',
  'disruption-controller',
  'daemonset-controller',
  'job-controller',
  'autoscaler',
  'rebalancer',
  'endpoints-controller',
  'node-controller',
  'garbage-collector',
  'persistent-volume-controller',
  'dns',
] as const;

/** And those of each node. */
export const allParts = [...controlPlane, 'proxy', 'node-agent'] as const;
