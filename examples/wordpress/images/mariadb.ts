import { readFile } from 'node:fs/promises';
import type { Image } from '../../images/engine.ts';
import { contentHash, unpackedFiles } from '../../images/unpacked.ts';

/** MariaDB as Debian builds it, its client for probes, and a script that makes the database on the first start. */
export async function mariadbImage(say: (text: string) => void): Promise<Image> {
  const start = await readFile(new URL('mariadb-start.sh', import.meta.url));
  return {
    name: 'troupe/mariadb:1',
    hash: await contentHash('mariadb v1', start),
    entrypoint: ['/bin/sh', '/start.sh'],
    port: 3306,
    user: '65534:65534',
    files: async () => [
      ...(await unpackedFiles({
        packages: ['mariadb-server-core', 'mariadb-client-core', 'mariadb-common'],
        programs: ['usr/sbin/mariadbd', 'usr/bin/mariadb'],
        leaveOut: /^\/(etc|usr\/bin\/(innochecksum|mysql|mariadb-)|usr\/share\/groonga)/,
        instead: 'The image needs mariadb-server-core of Debian.',
        say,
      })),
      { path: '/data', mode: 0o777 },
      { path: '/start.sh', content: start, mode: 0o755 },
    ],
  };
}
