import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inKernel, vip, type ProxyBed } from './bed.ts';

const program = fileURLToPath(new URL('./sctp.pl', import.meta.url));

/** Tracking SCTP is what leading it elsewhere needs of a kernel; sockets for it are for those who talk. */
const kernelTracksSctp = (): boolean => existsSync('/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established');

/** SCTP, which the kernel carries where it can, and nobody else. */
export function sctpContract(bed: ProxyBed): void {
  let first = 20_000;
  /** How so many associations were answered, each from a source port of its own. */
  const associations = async (count: number): Promise<string[]> => {
    const from = (first += 100);
    const said = await bed.space('client').run('perl', program, 'ask', vip, '80', String(count), String(from));
    return said.trim().split('\n');
  };

  if (!inKernel(bed.under)) {
    it('says that it does not serve SCTP, and serves the rest', async () => {
      await bed.to({ protocol: 'SCTP' }, { name: 'other', clusterIP: '10.96.0.21' });
      assert.deepEqual(await bed.rules.ask('unserved'), [
        ['default/web/sctp/80', 'a proxy in userspace mode has no SCTP; nodes with nftables or iptables serve it'],
      ]);
      assert.equal((await bed.connections(3, bed.client, '10.96.0.21')).filter((text) => text[0] === 'b').length, 3);
      assert.deepEqual(await bed.differences(), []);
    });
    return;
  }

  it('leads SCTP to each endpoint in its turn, and answers from the virtual address', async function () {
    if (!kernelTracksSctp()) {
      process.stderr.write('      SKIPPED: this kernel does not track SCTP (CONFIG_NF_CT_PROTO_SCTP)\n');
      return this.skip();
    }
    const servers = [1, 2, 3].map((number) =>
      bed.space(`backend ${number}`).spawn('perl', [program, 'serve', '8080', String(number)]),
    );
    try {
      await Promise.all(servers.map((each) => once(each.stdout ?? assert.fail(), 'data')));
      await bed.to({ protocol: 'SCTP' });
      const said = await associations(6);
      assert.deepEqual(
        said.toSorted(),
        [1, 1, 2, 2, 3, 3].map((number) => `${number} ${vip}`),
        said.join(),
      );
      await bed.to({ protocol: 'SCTP', backends: ['10.244.0.12'] });
      assert.deepEqual(await associations(2), [`2 ${vip}`, `2 ${vip}`]);
      assert.deepEqual(await bed.differences(), []);
    } finally {
      for (const each of servers) each.kill('SIGKILL');
    }
  });
}
