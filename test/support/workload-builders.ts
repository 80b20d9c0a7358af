import type { Deployment, DeploymentSpec, ReplicaSet } from '../../lib/api/objects.ts';
import { aPodSpec, meta, type MetaOptions, type PodOptions } from './builders.ts';

interface WorkloadOptions extends MetaOptions {
  readonly replicas?: number;
  readonly template?: PodOptions;
  readonly minReadySeconds?: number;
  /** The uid of the Deployment that it is a template of; its name is `web`. */
  readonly ownerUid?: string;
}

export interface ReplicaSetOptions extends WorkloadOptions {
  readonly selector?: ReplicaSet['spec']['selector'];
  readonly status?: Partial<ReplicaSet['status']>;
}

export function aReplicaSet(options: ReplicaSetOptions = {}): ReplicaSet {
  const labels = options.labels ?? options.selector?.matchLabels ?? { app: 'web' };
  const { ownerUid } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      ...meta('ReplicaSet', options.name ?? 'web', { ...options, labels }),
      ...(ownerUid !== undefined && {
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: ownerUid, controller: true }],
      }),
    },
    spec: {
      replicas: options.replicas ?? 1,
      selector: options.selector ?? { matchLabels: labels },
      ...(options.minReadySeconds === undefined ? {} : { minReadySeconds: options.minReadySeconds }),
      template: { metadata: { labels: options.template?.labels ?? labels }, spec: aPodSpec(options.template) },
    },
    status: { replicas: 0, ...options.status },
  };
}

export interface DeploymentOptions extends WorkloadOptions {
  readonly spec?: Partial<DeploymentSpec>;
  readonly status?: Deployment['status'];
}

export function aDeployment(options: DeploymentOptions = {}): Deployment {
  const labels = { app: 'web' };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta('Deployment', options.name ?? 'web', { labels, ...options }),
    spec: {
      replicas: options.replicas ?? 3,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: aPodSpec(options.template) },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
      ...(options.minReadySeconds === undefined ? {} : { minReadySeconds: options.minReadySeconds }),
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      ...options.spec,
    },
    status: options.status ?? {},
  };
}
