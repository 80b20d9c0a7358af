import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { existsSync } from 'node:fs';
import { unpackPackages } from '../../images/debian.ts';
import type { Image, ImageFile } from '../../images/engine.ts';
import { etcFiles, withLibraries } from '../../images/programs.ts';

/** Redis as Debian builds it: the server, its client for probes, and the libraries they need. */
export async function redisImage(say: (text: string) => void): Promise<Image> {
  const system = await readFile('/etc/os-release', 'utf8').catch(() => 'no os-release');
  const release = /^VERSION_ID=(.*)$/m.exec(system)?.[1] ?? 'unknown';
  return {
    name: 'troupe/redis:1',
    hash: createHash('sha256').update(`redis ${release} ${process.arch} v1`).digest('hex').slice(0, 16),
    // The pods' network is the cluster's own; without this Redis would answer only its own machine.
    entrypoint: ['/usr/bin/redis-server', '--protected-mode', 'no'],
    port: 6379,
    files: async () => [...etcFiles, { path: '/data', mode: 0o777 }, ...(await redisFiles(say))],
  };
}

const programs = ['redis-server', 'redis-cli'] as const;

/** From this machine when Redis is installed on it, else from its Debian packages, which are not installed for that. */
async function redisFiles(say: (text: string) => void): Promise<ImageFile[]> {
  const installed = programs.map((name) => ({ file: inPath(name), path: `/usr/bin/${name}` }));
  if (installed.every(({ file }) => file !== undefined)) {
    return withLibraries(installed.map(({ file, path }) => ({ file: file ?? '', path })));
  }
  const root = await mkdtemp(join(tmpdir(), 'guestbook-redis-'));
  try {
    await unpackPackages(root, {
      packages: ['redis-server', 'redis-tools'],
      programs: ['usr/bin/redis-server'],
      instead: withoutDebian,
      say,
    });
    return await withLibraries(
      programs.map((name) => ({ file: join(root, 'usr/bin', name), path: `/usr/bin/${name}` })),
      root,
    );
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

const withoutDebian =
  'Install Redis on it (redis-server and redis-cli in the PATH) and run this again, or, where a registry is in reach: ' +
  'docker pull redis:7 && docker tag redis:7 troupe/redis:1';

const inPath = (program: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);
