import assert from 'node:assert/strict';
import { runInGuest, whyNoGuestKernel } from '../support/guest-kernel.ts';
import { cases } from '../support/nfs-guest.ts';

const why = whyNoGuestKernel();
describe(`nfs volumes before a real server${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(120_000);
  let output = '';
  before(async function () {
    if (why !== undefined) this.skip();
    output = await runInGuest({
      modules: ['fs/nfs/nfsv4.ko', 'fs/nfsd/nfsd.ko'],
      script: [
        'mount -t tmpfs tmpfs /var/lib/nfs',
        'mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /mnt/export /mnt/data',
        'touch /var/lib/nfs/etab /var/lib/nfs/rmtab',
        'mount -t nfsd nfsd /proc/fs/nfsd',
        'exportfs -o rw,fsid=0,no_root_squash,insecure,no_subtree_check 127.0.0.1:/mnt/export',
        'rpc.mountd --no-udp -N 3 2>/dev/null',
        'rpc.nfsd -N 3 -V 4.2 --no-udp -H 127.0.0.1 2',
        `cd ${process.cwd()}`,
        `${process.execPath} --import tsx test/support/nfs-guest.ts`,
      ].join('\n'),
      timeoutMs: 110_000,
    });
  });

  for (const [name] of cases) {
    it(name, () => {
      const line = output.split('\n').find((each) => each.includes(`ok ${name}`));
      assert.equal(line?.trim(), `ok ${name}`, output.slice(-3_000));
    });
  }
});
