import { createHash } from 'node:crypto';
import type { Image } from '../../images/engine.ts';
import { etcFiles, withLibraries } from '../../images/programs.ts';

/** A container's first process ends on SIGTERM only where it says so. */
const page = `
require('node:http').createServer((_request, reply) => reply.end('Welcome\\n')).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** One page at port 8080, by the node that runs this with the libraries it needs. */
export function websiteImage(): Promise<Image> {
  const node = '/usr/local/bin/node';
  const script = { path: '/www/site.cjs', content: Buffer.from(page) };
  return Promise.resolve({
    name: 'troupe/website:1',
    hash: createHash('sha256').update(`${process.version} ${process.arch} ${page}`).digest('hex').slice(0, 16),
    entrypoint: [node, script.path],
    port: 8080,
    user: '65534:65534',
    files: async () => [...etcFiles, ...(await withLibraries([{ file: process.execPath, path: node }])), script],
  });
}
