/**
 * The objects of the API as our own code sees them: the JSON form of Kubernetes v1, readonly,
 * with the fields required that the apiserver guarantees on everything it serves (it defaults and
 * validates before it stores). The wire form is generated from `proto/`; `test/unit/api` holds
 * both together with a round-trip property.
 */
export type * from './objects/meta.ts';
export type * from './objects/pod.ts';
export type * from './objects/placing.ts';
export type * from './objects/workload.ts';
export type * from './objects/batch.ts';
export type * from './objects/daemon.ts';
export type * from './objects/disruption.ts';
export type * from './objects/autoscaling.ts';
export type * from './objects/service.ts';
export type * from './objects/cluster.ts';
export type * from './objects/storage.ts';
export type * from './objects/bounds.ts';
export type * from './objects/access.ts';
export type * from './objects/extension.ts';
