import assert from 'node:assert/strict';
import { parseCidr } from '../../../lib/api/net.ts';
import type { Balancer } from '../../../services/load-balancer-controller/balancer.ts';
import { AddressPool, type Holder } from '../../../services/load-balancer-controller/pool.ts';
import type { LoadBalancerProvider } from '../../../services/load-balancer-controller/provider.ts';

/** A provider, and a way to use what it serves. */
export interface ProviderUnderTest {
  readonly provider: LoadBalancerProvider;
  /** The endpoint (`address:port`) that a new connection reaches; rejects when it is refused or closed at once. */
  connect(address: string, port: number, client?: string): Promise<string>;
  /** Endpoints that say who they are. */
  readonly backends: readonly string[];
  stop(): Promise<void>;
}

/** The block of addresses that a provider under test gives. */
export const testPool = '10.160.255.0/29';

export function poolOf(holders: () => Iterable<Holder> = () => []): AddressPool {
  return new AddressPool([parseCidr(testPool) ?? assert.fail()], holders);
}

export const aBalancer = (key: string, backends: readonly string[], more: Partial<Balancer> = {}): Balancer => ({
  ...{ key, since: '2026-01-01T00:00:00Z', ports: [{ port: 8000, protocol: 'TCP', backends }] },
  ...{ sourceRanges: [], affinitySeconds: 0, held: undefined, asked: undefined },
  ...more,
});

/** What `LoadBalancerProvider` promises, for every implementation. */
export function providerContract(name: string, make: () => Promise<ProviderUnderTest>): void {
  describe(`load-balancer provider: ${name}`, function () {
    this.timeout(60_000);
    let subject: ProviderUnderTest;
    let [a, b, c] = ['', '', ''];

    beforeEach(async () => {
      subject = await make();
      [a = '', b = '', c = ''] = subject.backends;
      await subject.provider.open();
    });
    afterEach(() => subject.stop());

    const ensure = async (balancer: Balancer): Promise<string> =>
      (await subject.provider.ensure(balancer))[0]?.ip ?? assert.fail('no address');
    const reached = async (address: string, count: number, client?: string): Promise<Record<string, number>> => {
      const found: Record<string, number> = {};
      for (let i = 0; i < count; i++) {
        const backend = await subject.connect(address, 8000, client);
        found[backend] = (found[backend] ?? 0) + 1;
      }
      return found;
    };
    const refused = (balancer: Balancer, reason: string): Promise<void> =>
      assert.rejects(subject.provider.ensure(balancer), { name: 'Refusal', reason });

    it('gives an address of the pool, at which each endpoint is reached in its turn', async () => {
      const address = await ensure(aBalancer('default/web', [a, b, c]));
      assert.match(address, /^10\.160\.255\.[1-6]$/);
      assert.deepEqual(await reached(address, 9), { [a]: 3, [b]: 3, [c]: 3 });
    });

    it('changes nothing when asked for the same again', async () => {
      const address = await ensure(aBalancer('default/web', [a, b]));
      assert.equal(await ensure(aBalancer('default/web', [a, b])), address);
      assert.deepEqual(await reached(address, 4), { [a]: 2, [b]: 2 });
    });

    it('has each change of the endpoints in effect when it says so', async () => {
      const address = await ensure(aBalancer('default/web', [a, b]));
      for (const now of [[b], [b, c], [a, b, c], [c], [a]]) {
        assert.equal(await ensure(aBalancer('default/web', now)), address);
        assert.deepEqual(await reached(address, 2 * now.length), Object.fromEntries(now.map((each) => [each, 2])));
      }
    });

    it('refuses connections while there is no endpoint, and takes them again', async () => {
      const address = await ensure(aBalancer('default/web', []));
      await assert.rejects(subject.connect(address, 8000));
      await ensure(aBalancer('default/web', [a]));
      assert.equal(await subject.connect(address, 8000), a);
      await ensure(aBalancer('default/web', []));
      await assert.rejects(subject.connect(address, 8000));
    });

    it('serves several Services, each at its own address, and all ports of one', async () => {
      const one = await ensure(aBalancer('default/one', [a]));
      const two = await ensure(
        aBalancer('shop/two', [], {
          ports: [
            { port: 8000, protocol: 'TCP', backends: [b] },
            { port: 8001, protocol: 'TCP', backends: [c] },
          ],
        }),
      );
      assert.notEqual(one, two);
      assert.equal(await subject.connect(one, 8000), a);
      assert.equal(await subject.connect(two, 8000), b);
      assert.equal(await subject.connect(two, 8001), c);
      await assert.rejects(subject.connect(one, 8001));
      assert.deepEqual([...subject.provider.list()].sort(), ['default/one', 'shop/two']);
    });

    it('lets through only senders of the source ranges', async () => {
      const address = await ensure(aBalancer('default/web', [a], { sourceRanges: ['127.0.0.2/32', '127.0.7.0/24'] }));
      assert.equal(await subject.connect(address, 8000, '127.0.0.2'), a);
      assert.equal(await subject.connect(address, 8000, '127.0.7.9'), a);
      await assert.rejects(subject.connect(address, 8000, '127.0.0.3'));
      await ensure(aBalancer('default/web', [a], { sourceRanges: ['127.0.0.3/32'] }));
      assert.equal(await subject.connect(address, 8000, '127.0.0.3'), a);
      await assert.rejects(subject.connect(address, 8000, '127.0.0.2'));
    });

    it('brings a client back to its endpoint under affinity, and to another when that is gone', async () => {
      const all = [a, b, c];
      const address = await ensure(aBalancer('default/web', all, { affinitySeconds: 60 }));
      const first = await subject.connect(address, 8000);
      assert.deepEqual(await reached(address, 6), { [first]: 6 });
      const rest = all.filter((each) => each !== first);
      await ensure(aBalancer('default/web', rest, { affinitySeconds: 60 }));
      const second = await subject.connect(address, 8000);
      assert.ok(rest.includes(second));
      assert.deepEqual(await reached(address, 6), { [second]: 6 });
    });

    it('gives the address that is asked for, or refuses', async () => {
      assert.equal(await ensure(aBalancer('default/web', [a], { asked: '10.160.255.5' })), '10.160.255.5');
      await refused(aBalancer('default/other', [a], { asked: '10.160.255.5' }), 'AddressTaken');
      await refused(aBalancer('default/other', [a], { asked: '10.9.9.9' }), 'AddressNotInPool');
      assert.deepEqual(subject.provider.list(), ['default/web']);
      assert.equal(await ensure(aBalancer('default/web', [b], { asked: '10.160.255.6' })), '10.160.255.6');
      assert.equal(await subject.connect('10.160.255.6', 8000), b);
      await assert.rejects(subject.connect('10.160.255.5', 8000));
    });

    it('keeps the address that the status tells of', async () => {
      assert.equal(await ensure(aBalancer('default/web', [a], { held: '10.160.255.4' })), '10.160.255.4');
    });

    it('refuses when no address is left, until one is freed', async () => {
      for (let i = 0; i < 6; i++) await ensure(aBalancer(`default/s${i}`, [a]));
      await refused(aBalancer('default/more', [a]), 'PoolExhausted');
      await subject.provider.remove('default/s3');
      assert.match(await ensure(aBalancer('default/more', [b])), /^10\.160\.255\./);
    });

    it('ends a balancer: its address is served no more', async () => {
      const address = await ensure(aBalancer('default/web', [a]));
      const kept = await ensure(aBalancer('default/kept', [b]));
      await subject.provider.remove('default/web');
      await subject.provider.remove('default/web');
      await assert.rejects(subject.connect(address, 8000));
      assert.equal(await subject.connect(kept, 8000), b);
      assert.deepEqual(subject.provider.list(), ['default/kept']);
    });

    it('refuses what it cannot carry, and serves nothing of it', async () => {
      const ports = [{ port: 53, protocol: 'UDP', backends: [a] }] as const;
      await refused(aBalancer('default/dns', [], { ports }), 'ProtocolNotServed');
      assert.deepEqual(subject.provider.list(), []);
    });
  });
}
