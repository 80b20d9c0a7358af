import type { ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus } from '../../lib/api/objects.ts';
import { aPodSpec, meta, type MetaOptions, type PodOptions } from './builders.ts';

export interface DaemonSetOptions extends MetaOptions {
  readonly spec?: Partial<DaemonSetSpec>;
  readonly template?: PodOptions;
  readonly maxUnavailable?: number | string;
  readonly maxSurge?: number | string;
  readonly status?: Partial<DaemonSetStatus>;
}

/** A DaemonSet `agent` as the API serves it: on all nodes, one at a time. */
export function aDaemonSet(options: DaemonSetOptions = {}): DaemonSet {
  const labels = { app: 'agent' };
  const { maxUnavailable = 1, maxSurge = 0 } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: meta('DaemonSet', options.name ?? 'agent', { labels, ...options }),
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: aPodSpec(options.template) },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable, maxSurge } },
      revisionHistoryLimit: 10,
      ...options.spec,
    },
    status: {
      ...{ currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 },
      ...options.status,
    },
  };
}

/** What a DaemonSet was, as its controller keeps it. */
export function aRevision({ metadata, spec }: DaemonSet, revision = 1): ControllerRevision {
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      ...meta('ControllerRevision', `${metadata.name}-abc${revision}`, { labels: { app: 'agent' } }),
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'DaemonSet', name: metadata.name, uid: metadata.uid, controller: true },
      ],
    },
    data: { spec: { template: { ...spec.template, $patch: 'replace' } } },
    revision,
  };
}
