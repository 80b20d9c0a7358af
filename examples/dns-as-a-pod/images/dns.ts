import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Image } from '../../images/engine.ts';
import { etcFiles, withLibraries } from '../../images/programs.ts';

/** The DNS service as the build leaves it in dist/, and the node that runs it with the libraries it needs. */
export async function dnsImage(): Promise<Image> {
  const bundle = fileURLToPath(new URL('../../../dist/dns.js', import.meta.url));
  const content = await readFile(bundle).catch((cause: unknown) => {
    throw new Error(`${bundle} is missing: run npm run build first`, { cause });
  });
  const node = '/usr/local/bin/node';
  return {
    name: 'troupe/dns-as-a-pod:1',
    hash: createHash('sha256')
      .update(`${process.version} ${process.arch} v1\n`)
      .update(content)
      .digest('hex')
      .slice(0, 16),
    entrypoint: [node, '/app/dns.js'],
    port: 10053,
    files: async () => [
      ...etcFiles,
      ...(await withLibraries([{ file: process.execPath, path: node }])),
      { path: '/app/package.json', content: Buffer.from('{"type":"module"}\n') },
      { path: '/app/dns.js', content },
    ],
  };
}
