import type protobuf from 'protobufjs';
import { kinds, resources, type KindInfo } from '../../lib/api/kinds.ts';

/** A service is named by the plural of its kind; Endpoints is a plural already. */
const serviceName = (info: KindInfo): string => {
  if (info.kind === 'Endpoints') return 'EndpointsSets';
  return info.kind.endsWith('s') ? `${info.kind}es` : `${info.kind}s`;
};

/** `services.proto`: a service for each kind, with the same verbs everywhere, and the messages that these need. */
export function servicesProto(): string {
  return [preamble, ...resources.flatMap((resource) => [service(kinds[resource]), messages(kinds[resource])])].join(
    '\n',
  );
}

/** Those with a number of replicas that can be set by itself. */
const scaled: ReadonlySet<string> = new Set(['ReplicationController', 'ReplicaSet', 'Deployment']);

const preamble = `// A service for each kind, with the same verbs everywhere; what they share is in verbs.proto.
// Written by \`npm run gen\` from lib/api/kinds.ts.
syntax = "proto3";

package troupe.v1;

${[
  ...[
    'account',
    'autoscaling',
    'batch',
    'config',
    'daemon',
    'deployment',
    'discovery',
    'disruption',
    'event',
    'extension',
    'lease',
    'meta',
    'namespace',
    'node',
    'objects',
    'pod',
  ],
  ...['quota', 'rbac', 'scheduling', 'service', 'storage', 'streams', 'verbs', 'workload'],
]
  .map((file) => `import "troupe/v1/${file}.proto";`)
  .join('\n')}
`;

function service(info: KindInfo): string {
  const { kind } = info;
  const rpcs: (readonly [doc: string, name: string, request: string, reply: string])[] = [
    ['One object. NOT_FOUND when there is none.', 'Get', 'NamedRequest', kind],
    [
      'One consistent state, in chunks; `metadata.continue` comes with the last one.',
      'List',
      'SelectRequest',
      `stream ${kind}List`,
    ],
    [
      'Each change, in order, until cancelled. OUT_OF_RANGE when history is too short: list again.',
      'Watch',
      'FollowRequest',
      `stream ${kind}WatchReply`,
    ],
    ['Stores a new object.', 'Create', `${kind}WriteRequest`, kind],
    [
      'Stores many; each succeeds or fails by itself, answered in the same order.',
      'CreateMany',
      `${kind}BatchRequest`,
      `${kind}BatchReply`,
    ],
    [
      `Replaces an object${info.hasStatus ? ' but its status' : ''}; only that version when metadata.resourceVersion is set.`,
      'Update',
      `${kind}WriteRequest`,
      kind,
    ],
  ];
  if (info.hasStatus) rpcs.push(['Replaces the status alone.', 'UpdateStatus', `${kind}WriteRequest`, kind]);
  rpcs.push(
    ['Changes some fields.', 'Patch', 'PatchRequest', kind],
    ['Asks for deletion; answers with the last state.', 'Delete', 'DeleteRequest', kind],
    ['Deletes every object that matches.', 'DeleteCollection', 'DeleteSelectedRequest', 'DeleteCollectionReply'],
  );
  if (kind === 'Pod') {
    rpcs.push(
      ['Gives a pod its node. ABORTED when it has one.', 'Bind', 'BindRequest', 'Pod'],
      [
        'Gives many pods their nodes; each succeeds or fails by itself.',
        'BindMany',
        'BindManyRequest',
        'PodBatchReply',
      ],
      [
        'Deletes a pod if its disruption budget grants it now. RESOURCE_EXHAUSTED when it does not.',
        'Evict',
        'EvictRequest',
        'Pod',
      ],
      [
        'Adds ephemeral containers: the list of them replaces that of the pod, and can only grow.',
        'UpdateEphemeralContainers',
        'PodWriteRequest',
        'Pod',
      ],
      ['What a container has written.', 'Logs', 'LogsRequest', 'stream LogsReply'],
      ['Runs a command in a container.', 'Exec', 'stream ExecRequest', 'stream ExecReply'],
      ["Input and output of a container's first process.", 'Attach', 'stream AttachRequest', 'stream ExecReply'],
      ['A connection to a port inside a pod.', 'PortForward', 'stream PortForwardRequest', 'stream PortForwardReply'],
      ['Files out of a container, as a tar.', 'ReadFiles', 'ReadFilesRequest', 'stream ReadFilesReply'],
      [
        'Files into a container; one reply when all is written.',
        'WriteFiles',
        'stream WriteFilesRequest',
        'stream WriteFilesReply',
      ],
    );
  }
  if (scaled.has(kind)) {
    rpcs.push(
      ['The number of replicas alone.', 'GetScale', 'NamedRequest', 'Scale'],
      ['Sets the number of replicas.', 'UpdateScale', 'ScaleWriteRequest', 'Scale'],
    );
  }
  if (kind === 'ServiceAccount') {
    rpcs.push([
      'A token for a pod with this account, while the pod is there. NOT_FOUND when it is not.',
      'CreateToken',
      'CreateTokenRequest',
      'TokenRequest',
    ]);
  }
  const lines = rpcs.map(([doc, name, request, reply]) => `  // ${doc}\n  rpc ${name}(${request}) returns (${reply});`);
  return `service ${serviceName(info)} {\n${lines.join('\n')}\n}\n`;
}

const messages = ({ kind }: KindInfo): string => `message ${kind}WriteRequest {
  ${kind} object = 1;
  // Check and default only; nothing is stored.
  bool dry_run = 2;
  // What to do with fields that the schema does not know: Strict, Warn (default) or Ignore.
  string field_validation = 3;
}

message ${kind}BatchRequest {
  // At most 1000.
  repeated ${kind} objects = 1;
  bool dry_run = 2;
  string field_validation = 3;
}

message ${kind}BatchReply {
  repeated ${kind}Outcome results = 1;
}

message ${kind}Outcome {
  // As stored; absent on failure.
  ${kind} object = 1;
  // Absent on success.
  Status error = 2;
  repeated string warnings = 3;
}

message ${kind}WatchReply {
  repeated ${kind}Change changes = 1;
  // Everything up to here has been told; alone it is a bookmark.
  string revision = 2;
}

message ${kind}Change {
  // ADDED, MODIFIED or DELETED.
  string type = 1;
  string revision = 2;
  // After a deletion: the last state.
  ${kind} object = 3;
}
`;

/** `lib/api/gen/services.ts`: every method of every service, for building grpc-js service definitions. */
export function methodTable(root: protobuf.Root): string {
  const lines: string[] = [];
  for (const { name, service } of allServices(root)) {
    lines.push(`  '${name}': {`);
    for (const method of service.methodsArray) {
      const type = (message: protobuf.Type | null): string => message?.fullName.replace(/^\.(troupe\.v1\.)?/, '') ?? '';
      lines.push(
        `    ${method.name}: { request: '${type(method.resolvedRequestType)}', reply: '${type(method.resolvedResponseType)}'` +
          `${method.requestStream ? ', requestStream: true' : ''}${method.responseStream ? ', replyStream: true' : ''} },`,
      );
    }
    lines.push('  },');
  }
  const typedServices = resources.map((resource) => `  ${resource}: 'troupe.v1.${serviceName(kinds[resource])}',`);
  return `export interface MethodShape {
  readonly request: string;
  readonly reply: string;
  readonly requestStream?: true;
  readonly replyStream?: true;
}

export const services: Readonly<Record<string, Readonly<Record<string, MethodShape>>>> = {
${lines.join('\n')}
};

/** The typed service of each resource. */
export const serviceOf = {
${typedServices.join('\n')}
} as const;
`;
}

export function allServices(root: protobuf.Root): { readonly name: string; readonly service: protobuf.Service }[] {
  const found: { name: string; service: protobuf.Service }[] = [];
  const walk = (space: protobuf.NamespaceBase): void => {
    for (const object of space.nestedArray) {
      if ('methodsArray' in object) {
        found.push({ name: object.fullName.slice(1), service: object as protobuf.Service });
      } else if ('nestedArray' in object) walk(object as protobuf.NamespaceBase);
    }
  };
  walk(root);
  return found;
}
