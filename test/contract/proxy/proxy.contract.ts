import { canMakeNetworks } from '../../support/netns.ts';
import { accessContract } from './access.contract.ts';
import { balancingContract } from './balancing.contract.ts';
import { ProxyBed, type ProxyUnderTest } from './bed.ts';
import { holdingContract } from './holding.contract.ts';
import { leavingContract } from './leaving.contract.ts';
import { outsideContract } from './outside.contract.ts';
import { sctpContract } from './sctp.contract.ts';
import { upkeepContract } from './upkeep.contract.ts';

/** What every way of carrying traffic must do, tried with real servers and clients in namespaces. */
export function proxyContract(under: ProxyUnderTest, label: string = under.kind): void {
  describe(`proxy contract: ${label}`, function () {
    this.timeout(120_000);
    const bed = new ProxyBed(under);

    before(async function () {
      const obstacle = canMakeNetworks() ? under.obstacle?.() : 'root on Linux is needed';
      if (obstacle !== undefined) {
        process.stderr.write(`      SKIPPED: proxy contract on ${label}: ${obstacle}\n`);
        return this.skip();
      }
      await bed.start();
    });
    after(() => bed.close());
    beforeEach(async () => {
      await bed.rules.ask('replaceAll', { services: [], endpoints: [] });
    });

    balancingContract(bed);
    leavingContract(bed);
    outsideContract(bed);
    accessContract(bed);
    holdingContract(bed);
    sctpContract(bed);
    upkeepContract(bed);
  });
}
