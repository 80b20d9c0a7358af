import type { Histogram, Counter, Meter, UpDownCounter } from '@opentelemetry/api';

/** What an agent counts and measures. */
export interface AgentMetrics {
  readonly actions: Counter;
  readonly actionSeconds: Histogram;
  /** From the moment the agent first saw a pod until all its containers had started. */
  readonly podStartSeconds: Histogram;
  readonly restarts: Counter;
  readonly probeFailures: Counter;
  readonly pulls: Counter;
  readonly evictions: Counter;
  readonly volumeUpdates: Counter;
  readonly statusWrites: Counter;
  readonly streams: Counter;
  readonly openStreams: UpDownCounter;
}

export const agentMetrics = (meter: Meter): AgentMetrics => ({
  actions: meter.createCounter('troupe_agent_actions', { description: 'Steps done for pods, by type and outcome' }),
  actionSeconds: meter.createHistogram('troupe_agent_action_seconds', { description: 'How long steps took, by type' }),
  podStartSeconds: meter.createHistogram('troupe_agent_pod_start_seconds', {
    description: 'From first seeing a pod until all its containers had started',
  }),
  restarts: meter.createCounter('troupe_agent_container_restarts', { description: 'Containers started again' }),
  probeFailures: meter.createCounter('troupe_agent_probe_failures', { description: 'Failed probes, by kind' }),
  pulls: meter.createCounter('troupe_agent_image_pulls', { description: 'Image pulls, by outcome' }),
  evictions: meter.createCounter('troupe_agent_evictions', { description: 'Pods ended by the node, by reason' }),
  volumeUpdates: meter.createCounter('troupe_agent_volume_updates', {
    description: 'Volumes of a pod looked at anew since what fills them may have changed, by outcome',
  }),
  streams: meter.createCounter('troupe_agent_streams', {
    description: 'Streams into pods, ended, by verb and outcome',
  }),
  openStreams: meter.createUpDownCounter('troupe_agent_open_streams', { description: 'Streams into pods, by verb' }),
  statusWrites: meter.createCounter('troupe_agent_status_writes', { description: 'Pod statuses sent, by outcome' }),
});
