import type { BuiltIn } from '../../lib/api/kinds.ts';
import { aNamespace, aNode, anEndpoints, anEvent, anRc, aPod, aService } from './builders.ts';
import { aClaim, aClass, aVolume } from './storage-builders.ts';
import { aDaemonSet, aRevision } from './daemon-builders.ts';
import { aDeployment, aReplicaSet } from './workload-builders.ts';

import { anAutoscaler } from './autoscaling-builders.ts';
import { aCronJob, aJob } from './batch-builders.ts';
import { aBudget } from './disruption-builders.ts';

const meta = { name: 'x', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' };
const local = { ...meta, namespace: 'default' };
const rbac = 'rbac.authorization.k8s.io';

/** A definition of the kind Widget in the group example.com, with a status and a scale. */
export const aDefinition = (plural = 'widgets', kind = 'Widget', scope = 'Namespaced'): object => ({
  metadata: { ...meta, name: `${plural}.example.com` },
  spec: {
    group: 'example.com',
    scope,
    names: {
      plural,
      kind,
      singular: kind.toLowerCase(),
      listKind: `${kind}List`,
      shortNames: [`${plural.slice(0, 2)}x`],
    },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description: 'Something to try definitions with.',
            properties: {
              spec: {
                type: 'object',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 1, maximum: 100, description: 'How large it is.' },
                  color: { type: 'string', enum: ['red', 'green'], default: 'red' },
                  replicas: { type: 'integer' },
                  target: { 'x-kubernetes-int-or-string': true },
                  extra: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
                },
              },
              status: {
                type: 'object',
                properties: { replicas: { type: 'integer' }, phase: { type: 'string' }, selector: { type: 'string' } },
              },
            },
          },
        },
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.replicas',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Color', type: 'string', jsonPath: '.spec.color', priority: 1 },
        ],
        selectableFields: [{ jsonPath: '.spec.color' }],
      },
    ],
  },
});

/** A valid object of every kind, as a client may send it. */
export const kindSamples: Readonly<Record<BuiltIn, object>> = {
  pods: aPod(),
  replicationcontrollers: anRc(),
  services: aService(),
  endpoints: anEndpoints({ ips: ['10.0.0.1'] }),
  nodes: aNode(),
  namespaces: aNamespace({ name: 'shop' }),
  events: anEvent(),
  leases: { metadata: local, spec: { holderIdentity: 'a', leaseDurationSeconds: 15 } },
  configmaps: { metadata: local, data: { a: 'b' } },
  secrets: { metadata: local, stringData: { a: 'b' } },
  serviceaccounts: { metadata: local, imagePullSecrets: [{ name: 'a' }] },
  persistentvolumes: aVolume({ node: 'n1' }),
  persistentvolumeclaims: aClaim(),
  storageclasses: aClass(),
  podtemplates: { metadata: local, template: anRc().spec.template },
  resourcequotas: { metadata: local, spec: { hard: { pods: 5, 'requests.cpu': '1', 'count/widgets.example.com': 2 } } },
  limitranges: {
    metadata: local,
    spec: { limits: [{ type: 'Container', max: { cpu: '2' }, min: { cpu: '10m' }, default: { cpu: '500m' } }] },
  },
  endpointslices: {
    metadata: { ...local, labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  },
  priorityclasses: { metadata: meta, value: 1000, description: 'for what matters' },
  roles: { metadata: local, rules: [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] }] },
  rolebindings: {
    metadata: local,
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }],
    roleRef: { apiGroup: rbac, kind: 'Role', name: 'reader' },
  },
  clusterroles: { metadata: { ...meta, name: 'system:x' }, rules: [{ verbs: ['get'], nonResourceURLs: ['/healthz'] }] },
  clusterrolebindings: {
    metadata: meta,
    subjects: [{ kind: 'Group', name: 'admins', apiGroup: rbac }],
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'system:x' },
  },
  customresourcedefinitions: aDefinition('gadgets', 'Gadget'),
  replicasets: aReplicaSet(),
  daemonsets: aDaemonSet(),
  controllerrevisions: aRevision(aDaemonSet()),
  deployments: aDeployment(),
  jobs: aJob(),
  cronjobs: aCronJob(),
  poddisruptionbudgets: aBudget(),
  horizontalpodautoscalers: anAutoscaler(),
};
