import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Image } from '../../images/engine.ts';
import { etcFiles, withLibraries } from '../../images/programs.ts';

/** The checker and what it checks, each its source as one file, and the node that runs them with the libraries it needs. */
export async function checkerImage(): Promise<Image> {
  const scripts = await Promise.all(
    ['main', 'patient'].map(async (name) => {
      const entry = fileURLToPath(new URL(`../checker/${name}.ts`, import.meta.url));
      const bundled = await build({
        ...{ entryPoints: [entry], bundle: true, platform: 'node', target: 'node20', format: 'esm' },
        ...{ write: false, logLevel: 'warning' },
      });
      return { path: `/app/${name}.mjs`, content: Buffer.from(bundled.outputFiles?.[0]?.contents ?? []) };
    }),
  );
  const node = '/usr/local/bin/node';
  const hash = createHash('sha256').update(`${process.version} ${process.arch} v1\n`);
  for (const { content } of scripts) hash.update(content);
  return {
    name: 'troupe/health-checker:1',
    hash: hash.digest('hex').slice(0, 16),
    entrypoint: [node],
    port: 8080,
    user: '65534:65534',
    files: async () => [...etcFiles, ...(await withLibraries([{ file: process.execPath, path: node }])), ...scripts],
  };
}
