import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Image } from '../../images/engine.ts';
import { etcFiles, withLibraries } from '../../images/programs.ts';

/** The web server: its source as one file, and the node that runs this script with the libraries it needs. */
export async function frontendImage(): Promise<Image> {
  const entry = fileURLToPath(new URL('../frontend/server.ts', import.meta.url));
  const bundled = await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    write: false,
    logLevel: 'warning',
  });
  const script = Buffer.from(bundled.outputFiles[0]?.contents ?? []);
  const node = '/usr/local/bin/node';
  return {
    name: 'troupe/guestbook-frontend:1',
    hash: createHash('sha256')
      .update(`${process.version} ${process.arch} v1\n`)
      .update(script)
      .digest('hex')
      .slice(0, 16),
    entrypoint: [node, '/app/server.mjs'],
    port: 8080,
    user: '65534:65534',
    files: async () => [
      ...etcFiles,
      ...(await withLibraries([{ file: process.execPath, path: node }])),
      { path: '/app/server.mjs', content: script },
    ],
  };
}
