import type { Pod } from '../lib/api/objects.ts';
import type { PodContainer } from './labels.ts';

/** As much of a pod as its containers tell: enough to end it. */
export const forgottenPod = ({ uid, namespace, podName }: PodContainer): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: podName, namespace, uid, resourceVersion: '0', creationTimestamp: '1970-01-01T00:00:00Z' },
  spec: {
    containers: [],
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: '',
    enableServiceLinks: false,
  },
  status: {},
});
