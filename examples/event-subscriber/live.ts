/**
 * Prints changes of one resource as they happen, from core NATS: the quickest way to hear of them, at most once each.
 *
 *   tsx live.ts [--nats nats://127.0.0.1:4222] [--cluster troupe] [--resource pods] [--node node-1]
 */
import { parseArgs } from 'node:util';
import { connect } from '@nats-io/transport-node';

const { values: options } = parseArgs({
  options: {
    nats: { type: 'string', default: 'nats://127.0.0.1:4222' },
    cluster: { type: 'string', default: 'troupe' },
    resource: { type: 'string', default: 'pods' },
    node: { type: 'string', default: '*' },
  },
});

const connection = await connect({ servers: options.nats, maxReconnectAttempts: -1 });
const subject = `${options.cluster}.v1.${options.resource}.${options.node.replaceAll('.', '_')}.>`;
console.error(`listening to ${subject}`);
for await (const message of connection.subscribe(subject)) {
  const object = message.json<{ metadata: { resourceVersion: string }; status?: { phase?: string } }>();
  console.log(
    message.headers?.get('ce-type'),
    message.headers?.get('ce-subject'),
    object.metadata.resourceVersion,
    object.status?.phase ?? '',
  );
}
