import assert from 'node:assert/strict';
import type { Carriage } from '../../../lib/api/carriage.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { newLog } from '../../../lib/base/log.ts';
import type { TrafficRules } from '../../../services/proxy/rules.ts';
import { LocalPorts } from '../../../services/proxy/staged/local-ports.ts';
import { StagedRules } from '../../../services/proxy/staged/staged.ts';
import { diff, type TableChanges } from '../../../services/proxy/table/diff.ts';
import { emptyTable, type ProxyTable, type Target } from '../../../services/proxy/table/table.ts';
import { givenAddresses } from '../../../services/proxy/userspace/addresses.ts';
import { builtIn } from '../../../services/proxy/userspace/policy/registry.ts';
import { UserspaceRules } from '../../../services/proxy/userspace/userspace.ts';

/** Remembers what the kernel would be told. */
class FakeKernel implements TrafficRules {
  readonly name = 'fake';
  table: ProxyTable = emptyTable;
  changes: TableChanges | undefined;
  async replaceAll(table: ProxyTable): Promise<void> {
    this.table = table;
  }
  async apply(_before: ProxyTable, after: ProxyTable, changes: TableChanges): Promise<void> {
    [this.table, this.changes] = [after, changes];
  }
  async cut(): Promise<void> {}
  async settled(): Promise<void> {}
  async differences(expected: ProxyTable): Promise<readonly string[]> {
    return [...expected.targets.values()].filter((each) => each.carriage !== undefined).map(({ id }) => id);
  }
  async close(): Promise<void> {}
  async cleanup(): Promise<void> {}
}

describe('proxy/staged', () => {
  let kernel: FakeKernel;
  let rules: StagedRules;
  let table: ProxyTable;
  const carriage = (some: Partial<Carriage>): Carriage => ({
    ...{ byRequest: false, policy: undefined, policyOptions: '', proxyProtocol: undefined, ...some },
  });
  const aTarget = (name: string, some: Partial<Target> = {}): Target => ({
    ...{ id: `default/${name}/tcp/80`, protocol: 'TCP', backends: ['10.0.0.1:80', '10.0.0.2:80'] },
    ...{ affinitySeconds: 0, masquerade: true, ...some },
  });
  const make = (byRequest: boolean): void => {
    kernel = new FakeKernel();
    const log = newLog('test', { level: 'silent' });
    const stage = new UserspaceRules({
      ...{ drainMs: 0, clock: systemClock, log, addresses: givenAddresses, clusterCidr: '', nodeName: 'n1' },
      ...{ policies: builtIn, endpoints: () => undefined },
    });
    rules = new StagedRules({ kernel, stage, address: '127.0.0.1', byRequest });
    table = emptyTable;
  };
  const to = async (...targets: readonly Target[]): Promise<void> => {
    const next = { ...emptyTable, targets: new Map(targets.map((each) => [each.id, each])) };
    const before = table;
    table = next;
    await rules.apply(before, next, diff(before, next));
  };
  const told = (name: string): Target | undefined => kernel.table.targets.get(`default/${name}/tcp/80`);
  afterEach(() => rules.close());

  it('tells the kernel of ports that ask for nothing as they are', async () => {
    make(false);
    const plain = aTarget('plain');
    await to(plain);
    assert.equal(told('plain'), plain);
  });

  it('leads a port whose clients may wait to its socket whether it has endpoints or not', async () => {
    make(false);
    await to(aTarget('held', { carriage: carriage({ holdSeconds: 30 }), backends: [] }));
    const [empty] = told('held')?.backends ?? [];
    assert.match(empty ?? '', /^127\.0\.0\.1:6\d{4}$/);
    await to(aTarget('held', { carriage: carriage({ holdSeconds: 30 }) }));
    assert.deepEqual(told('held')?.backends, [empty]);
    await to(aTarget('held', { carriage: carriage({}), backends: [] }));
    assert.deepEqual(told('held')?.backends, []);
  });

  it('leads a port with a policy to one socket of its own, and keeps who may connect', async () => {
    make(false);
    const sources = ['10.9.0.0/16'];
    await to(aTarget('split', { carriage: carriage({ policy: 'least-connections' }), affinitySeconds: 9, sources }));
    const { backends = [], masquerade, affinitySeconds, sources: who, carriage: none } = told('split') ?? {};
    assert.match(backends.join(), /^127\.0\.0\.1:6[1-5][0-9]{3}$/);
    assert.deepEqual([masquerade, affinitySeconds, who, none], [false, 0, sources, undefined]);
    assert.deepEqual(await rules.differences(table), []);
  });

  it('balances by request only where it was asked to', async () => {
    for (const byRequest of [false, true]) {
      make(byRequest);
      await to(aTarget('web', { carriage: carriage({ byRequest: true }) }));
      assert.equal(told('web')?.backends.length, byRequest ? 1 : 2);
      if (!byRequest) await rules.close();
    }
  });

  it('changes nothing in the kernel when endpoints of such a port come and go, until there are none', async () => {
    make(false);
    const asking = { carriage: carriage({ policy: 'round-robin' }) };
    await to(aTarget('split', asking));
    const before = told('split')?.backends;
    await to(aTarget('split', { ...asking, backends: ['10.0.0.3:80'] }));
    assert.deepEqual([kernel.changes?.changedTargets, told('split')?.backends], [[], before]);
    await to(aTarget('split', { ...asking, backends: [] }));
    assert.deepEqual(told('split')?.backends, []);
    await to(aTarget('split', asking));
    assert.deepEqual(told('split')?.backends, before);
    await to(aTarget('split'));
    assert.deepEqual(told('split')?.backends, ['10.0.0.1:80', '10.0.0.2:80']);
  });

  it('gives a port by the name, each to one', () => {
    const [ports, again] = [new LocalPorts(), new LocalPorts()];
    const given = Array.from({ length: 4_536 }, (_, i) => ports.take(`t${i}`));
    assert.equal(new Set(given).size, 4_536);
    assert.equal(again.take('t0'), given[0]);
    assert.equal(ports.take('one too many'), undefined);
    ports.release('t7');
    assert.equal(ports.take('another'), given[7]);
  });
});
