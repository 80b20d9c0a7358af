import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { color } from './color.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
import { distFolder } from './options.ts';
import { newProgress } from './progress.ts';

const readyTimeoutMs = 120_000;
const services = ['redis-master', 'redis-replica', 'frontend'] as const;

/** Builds the Guestbook's images on the cluster's engine, applies its manifests, waits until it serves and says where. */
export async function runGuestbook(options: {
  server: string;
  dockerSocket: string;
  signal: AbortSignal;
}): Promise<void> {
  const clone = join(distFolder(), '..');
  const folder = join(clone, 'examples', 'guestbook');
  if (!existsSync(folder)) {
    process.stderr.write(`The Guestbook is not here (${folder}): it comes with the source.\n`);
    return;
  }
  const images = newProgress("Building the Guestbook's images (only the first time takes long)");
  const built = await run(
    join(clone, 'node_modules', '.bin', 'tsx'),
    [join(folder, 'build-images.ts'), '--docker-socket', options.dockerSocket],
    options.signal,
  );
  if (built.code !== 0) return images.fail(`The Guestbook's images could not be built:\n${built.output}`);
  images.done("The Guestbook's images are there");

  const applied = await run(
    process.execPath,
    [join(clone, 'bin', 'troupe.js'), 'apply', '-f', folder, '--server', options.server],
    options.signal,
  );
  if (applied.code !== 0) {
    process.stderr.write(`The Guestbook could not be applied:\n${applied.output}\n`);
    return;
  }
  const progress = newProgress('Starting the Guestbook');
  const client = newClient({ address: options.server });
  try {
    const address = await untilServing(client, options.signal, (text) => {
      progress.update(text);
    });
    progress.done(`The Guestbook is open: ${color.cyan(`http://${address}/`)}`);
  } catch (error) {
    progress.fail(`The Guestbook does not serve yet: ${(error as Error).message}. See: npx troupe get pods`);
  } finally {
    client.close();
  }
}

/** Watches the Endpoints until every Service of the Guestbook has a ready pod. Resolves to the frontend's address. */
async function untilServing(client: Client, signal: AbortSignal, say: (text: string) => void): Promise<string> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)]);
  const ready = new Map<string, number>();
  const read = (endpoints: {
    metadata: { name: string };
    subsets?: readonly { addresses?: readonly unknown[] }[];
  }): void => {
    ready.set(
      endpoints.metadata.name,
      (endpoints.subsets ?? []).reduce((sum, subset) => sum + (subset.addresses?.length ?? 0), 0),
    );
  };
  const waiting = (): readonly string[] => services.filter((name) => (ready.get(name) ?? 0) === 0);
  const { items, revision } = await client.list('endpoints', { namespace: 'default' });
  items.forEach(read);
  if (waiting().length > 0) {
    for await (const events of client.watch('endpoints', { namespace: 'default', fromRevision: revision }, limit)) {
      for (const event of events) if (event.object !== undefined) read(event.object);
      if (waiting().length === 0) break;
      say(`Starting the Guestbook: waiting for ${waiting().join(', ')}`);
    }
  }
  if (waiting().length > 0)
    throw new Error(`no ready pod behind ${waiting().join(', ')} after ${readyTimeoutMs / 1000} s`);
  const service = await client.get('services', 'default/frontend');
  return service?.spec.clusterIP ?? 'unknown';
}

function run(
  command: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
    let output = '';
    const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-4_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => {
      resolve({ code: 1, output: error.message });
    });
    child.once('close', (code) => {
      resolve({ code: code ?? 1, output: output.trim() });
    });
  });
}
