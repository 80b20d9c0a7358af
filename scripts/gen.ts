/**
 * Writes what follows from the contract: `proto/troupe/v1/services.proto` from the table of kinds, and `lib/api/gen/` from `proto/`.
 * `npm run gen` writes into the tree; `generate(root, outdir)` into any folder, for the test that compares both.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { fileDescriptors } from './generate/descriptors.ts';
import { docsOf } from './generate/docs.ts';
import { envelopeTypes, schemaOf } from './generate/schema.ts';
import { methodTable, servicesProto } from './generate/services.ts';

/** Files whose messages our own code reads and writes as they are, with bytes as bytes; all others are API objects. */
const envelopes = [
  'troupe/v1/envelope.proto',
  'troupe/v1/objects.proto',
  'troupe/v1/streams.proto',
  'google/rpc/status.proto',
  'google/rpc/error_details.proto',
  'grpc/health/v1/health.proto',
  'grpc/reflection/v1/reflection.proto',
  'grpc/reflection/v1alpha/reflection.proto',
];
const kinds = [
  ...[
    'account',
    'autoscaling',
    'batch',
    'config',
    'container',
    'daemon',
    'deployment',
    'discovery',
    'disruption',
    'effects',
    'event',
    'extension',
    'lease',
    'meta',
    'metrics',
    'namespace',
    'node',
    'pod',
    'quota',
    'rbac',
    'reference',
    'review',
    'scheduling',
    'service',
  ],
  ...['services', 'storage', 'storage-source', 'verbs', 'volume', 'workload'],
];
const contract = [...envelopes, ...kinds.map((name) => `troupe/v1/${name}.proto`)];

const note = '// Written by `npm run gen` from proto/. Do not edit.\n';

/** Generates everything below `out`, reading the hand-written contract from `root/proto`. Returns the files written. */
export function generate(root: string, out: string): readonly string[] {
  const written: string[] = [];
  const write = (path: string, text: string): void => {
    mkdirSync(join(out, path, '..'), { recursive: true });
    writeFileSync(join(out, path), text);
    written.push(path);
  };
  write('proto/troupe/v1/services.proto', servicesProto());

  const generated = join(out, 'proto/troupe/v1/services.proto');
  const find = (name: string): string =>
    name === 'troupe/v1/services.proto' ? generated : resolve(root, 'proto', name);
  const contractRoot = load(contract, find);

  write('lib/api/gen/schema.ts', note + schemaOf(contractRoot, envelopes));
  write('lib/api/gen/docs.ts', note + docsOf(contractRoot));
  write('lib/api/gen/messages.ts', note + envelopeTypes(contractRoot, envelopes));
  write('lib/api/gen/services.ts', note + methodTable(contractRoot));
  write('lib/api/gen/descriptors.ts', note + fileDescriptors(contractRoot, readImports(contract, find)));

  return written;
}

function load(names: readonly string[], find: (name: string) => string): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => {
    if (protobuf.common.get(target) !== null) return target;
    return find(target);
  };
  root.loadSync([...names], { keepCase: true, alternateCommentMode: true });
  root.resolveAll();
  return root;
}

/** The imports of each file, as written. */
function readImports(names: readonly string[], find: (name: string) => string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    [...new Set(names)].map((name) => {
      const text = readFileSync(find(name), 'utf8');
      return [name, [...text.matchAll(/^import "([^"]+)";/gm)].map((found) => found[1] ?? '')];
    }),
  );
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  for (const path of generate(root, root)) console.log(`wrote ${relative('.', path)}`);
}
