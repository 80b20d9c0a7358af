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
  readonly deathsTold: Counter;
  /** Pods on their way out of traffic: until nobody sends to them, then until their connections rest. */
  readonly withdrawalSeconds: Histogram;
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
  withdrawalSeconds: meter.createHistogram('troupe_agent_withdrawal_seconds', {
    description: 'Wait of a pod before it is stopped: for everybody to send no more traffic, then for its connections',
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  }),
  deathsTold: meter.createCounter('troupe_agent_deaths_told', {
    description: 'Deaths of containers that others were told of ahead of the status, since traffic was sent there',
  }),
  volumeUpdates: meter.createCounter('troupe_agent_volume_updates', {
    description: 'Volumes of a pod looked at anew since what fills them may have changed, by outcome',
  }),
  streams: meter.createCounter('troupe_agent_streams', {
    description: 'Streams into pods, ended, by verb and outcome',
  }),
  openStreams: meter.createUpDownCounter('troupe_agent_open_streams', { description: 'Streams into pods, by verb' }),
  statusWrites: meter.createCounter('troupe_agent_status_writes', { description: 'Pod statuses sent, by outcome' }),
});
