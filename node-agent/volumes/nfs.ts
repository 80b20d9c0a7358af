import { lookup } from 'node:dns/promises';
import { access, mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../network/run-command.ts';
import { VolumeError, type VolumeDriver } from './driver.ts';
import { isMounted } from './mounts.ts';
import { removeTree } from './removal.ts';

const defaultMountMs = 30_000;

/**
 * A server that dies must not hang who reads: after 5, 10 and 15 s without an answer an operation fails with EIO. Kubernetes leaves the
 * kernel's default, which waits for ever.
 */
const patience = ['soft', 'timeo=50', 'retrans=2'];

/**
 * A folder of a file server (F176). It is mounted by a process of its own with a deadline, which dies with the agent, so that an agent that
 * starts meanwhile does not mount it twice; whether it is mounted is asked of the kernel's table, never of the server. What is on
 * the server is never removed.
 */
export function newNfsDriver({ mountMs = defaultMountMs }: { readonly mountMs?: number } = {}): VolumeDriver {
  return {
    kind: 'nfs',
    async prepare({ volume, folder, signal }) {
      const { server = '', path = '', readOnly = false } = volume.nfs ?? {};
      if (!isMounted(folder)) {
        await mkdir(folder, { recursive: true });
        await mountNfs({ about: `volume "${volume.name}"`, server, path, readOnly, folder, signal, mountMs });
      }
      return { path: folder, readOnly };
    },
    isInPlace: async ({ folder }) => isMounted(folder),
    release: ({ folder }) => removeTree(folder),
  };
}

interface Wish {
  readonly about: string;
  readonly server: string;
  readonly path: string;
  readonly readOnly: boolean;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly mountMs: number;
}

/** Nothing that a program would take for an option, nor for two words. */
const serverName = /^[A-Za-z0-9:][A-Za-z0-9._:-]*$/;

async function mountNfs({ about, server, path, readOnly, folder, signal, mountMs }: Wish): Promise<void> {
  if (!serverName.test(server))
    throw new VolumeError(`${about}: nfs server "${server}" is neither a name nor an address`);
  const source = `${isIP(server) === 6 ? `[${server}]` : server}:${path}`;
  const options = [readOnly ? 'ro' : 'rw', ...patience];
  const helper = await helperPath();
  const command =
    helper === undefined
      ? [
          'mount',
          '-i',
          '-t',
          'nfs4',
          source,
          folder,
          '-o',
          [...options, 'vers=4.2', await addressOption(about, server)].join(','),
        ]
      : [helper, source, folder, '-o', [...options, 'retry=0'].join(',')];
  const { exitCode, stderr } = await runCommand('setpriv', ['--pdeathsig', 'KILL', ...command], {
    timeoutMs: mountMs,
    signal,
  });
  if (exitCode === 0) return;
  if (exitCode === -1)
    throw new VolumeError(`${about}: ${server} did not answer within ${mountMs / 1000} s (nfs ${source})`);
  if (!(await kernelKnowsNfs()))
    throw new VolumeError(`${about}: the kernel of this node has no NFS client, so that ${source} cannot be mounted`);
  throw new VolumeError(`${about}: nfs ${source} cannot be mounted: ${stderr.trim().split('\n').at(-1) ?? ''}`);
}

/** Of the package nfs-common; without it the kernel alone mounts, by NFS 4. */
async function helperPath(): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), '/sbin', '/usr/sbin']) {
    const path = join(folder, 'mount.nfs');
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

/** The kernel takes addresses only. */
async function addressOption(about: string, server: string): Promise<string> {
  if (isIP(server) !== 0) return `addr=${server}`;
  const found = await lookup(server).catch((error: unknown) => {
    throw new VolumeError(`${about}: the name of the nfs server "${server}" cannot be resolved`, { cause: error });
  });
  return `addr=${found.address}`;
}

/** Asked after a mount has failed: by then the kernel has loaded what it has. */
async function kernelKnowsNfs(): Promise<boolean> {
  return /\tnfs4?$/m.test(await readFile('/proc/filesystems', 'utf8').catch(() => '\tnfs'));
}
