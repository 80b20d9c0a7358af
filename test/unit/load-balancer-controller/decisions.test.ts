import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseCidr } from '../../../lib/api/net.ts';
import { compile } from '../../../services/load-balancer-controller/balancer.ts';
import {
  readShapes,
  render,
  shapeOf,
  type Site,
} from '../../../services/load-balancer-controller/haproxy/configuration.ts';
import {
  commandsFor,
  isSettled,
  readServers,
  type ServerState,
} from '../../../services/load-balancer-controller/haproxy/servers.ts';
import { readStatistics } from '../../../services/load-balancer-controller/haproxy/statistics.ts';
import { AddressPool, type Holder } from '../../../services/load-balancer-controller/pool.ts';
import { Progress } from '../../../services/load-balancer-controller/progress.ts';
import { aService, anEndpoints } from '../../support/builders.ts';

const block = (text: string) => parseCidr(text) ?? assert.fail(text);

describe('load-balancer-controller/balancer', () => {
  it('compiles what a balancer has to do', () => {
    const service = aService({
      ports: [
        { port: 80, name: 'http' },
        { port: 53, name: 'dns', protocol: 'UDP' },
      ],
      spec: {
        type: 'LoadBalancer',
        loadBalancerSourceRanges: [' 10.1.2.3/8', '192.0.2.0/24', '10.0.0.0/8'],
        loadBalancerIP: '192.0.2.7',
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      },
    });
    const subsets = [
      {
        addresses: [{ ip: '10.244.0.3' }, { ip: '10.244.0.2' }],
        notReadyAddresses: [{ ip: '10.244.0.9' }],
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' as const }],
      },
      { addresses: [{ ip: '10.244.0.4' }], ports: [{ name: 'http', port: 9090, protocol: 'TCP' as const }] },
    ];
    const { ports, sourceRanges, affinitySeconds, asked, held, key } = compile(service, anEndpoints({ subsets }));
    assert.deepEqual(ports, [
      { port: 80, protocol: 'TCP', backends: ['10.244.0.2:8080', '10.244.0.3:8080', '10.244.0.4:9090'] },
      { port: 53, protocol: 'UDP', backends: [] },
    ]);
    assert.deepEqual([key, affinitySeconds, asked, held], ['default/web', 60, '192.0.2.7', undefined]);
    assert.deepEqual(sourceRanges, ['10.0.0.0/8', '192.0.2.0/24']);
  });
});

describe('load-balancer-controller/pool', () => {
  const balancer = (key: string, more: object = {}) => ({
    key,
    since: key,
    asked: undefined,
    held: undefined,
    ...more,
  });

  it('gives each its own, never the first and last of a network, and those let go last', () => {
    const pool = new AddressPool([block('192.0.2.0/30'), block('192.0.2.9/32')], () => []);
    assert.deepEqual(
      ['a', 'b', 'c'].map((key) => pool.take(balancer(key))),
      ['192.0.2.1', '192.0.2.2', '192.0.2.9'],
    );
    assert.throws(() => pool.take(balancer('d')), {
      reason: 'PoolExhausted',
      message: /192\.0\.2\.0\/30, 192\.0\.2\.9\/32/,
    });
    pool.free('a');
    pool.free('c');
    assert.equal(pool.take(balancer('d')), '192.0.2.1', 'the one that has rested longest');
  });

  it('keeps what the status tells of, also before its Service was looked at', () => {
    const holders: Holder[] = [{ key: 'old', since: '1', ip: '192.0.2.1' }];
    const pool = new AddressPool([block('192.0.2.0/29')], () => holders);
    assert.equal(pool.take(balancer('new')), '192.0.2.2');
    assert.equal(pool.take(balancer('old', { held: '192.0.2.1' })), '192.0.2.1');
    assert.throws(() => pool.take(balancer('other', { asked: '192.0.2.1' })), { reason: 'AddressTaken' });
  });

  it('lets the older of two Services that tell of one address keep it', () => {
    const two = [
      { key: 'young', since: '2', ip: '192.0.2.1' },
      { key: 'old', since: '1', ip: '192.0.2.1' },
    ];
    for (const order of [two, two.toReversed()]) {
      const pool = new AddressPool([block('192.0.2.0/29')], () => two);
      const given = order.map(({ key, since, ip }) => [key, pool.take({ key, since, held: ip, asked: undefined })]);
      assert.deepEqual(Object.fromEntries(given), { old: '192.0.2.1', young: '192.0.2.2' });
    }
  });

  it('never gives one address to two, whatever is taken and freed', () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      free: fc.boolean(),
      asked: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pool = new AddressPool([block('192.0.2.0/29')], () => []);
        const given = new Map<string, string>();
        for (const { key, free, asked } of steps) {
          if (free) {
            pool.free(key);
            given.delete(key);
            continue;
          }
          try {
            given.set(key, pool.take(balancer(key, asked < 7 ? {} : { asked: `192.0.2.${asked - 6}` })));
          } catch {
            // refused: it keeps what it had
          }
          assert.equal(new Set(given.values()).size, given.size);
        }
      }),
    );
  });
});

describe('load-balancer-controller/haproxy', () => {
  const site: Site = {
    key: 'shop/web',
    address: '192.0.2.7',
    ports: [
      { port: 80, backends: ['10.244.0.2:8080'] },
      { port: 443, backends: [] },
    ],
    sourceRanges: ['10.0.0.0/8', '192.0.2.0/24'],
    affinitySeconds: 60,
  };
  const paths = { worker: '/run/w.sock', peers: '/run/p.sock' };
  const limits = { maxConnections: 100, idleSeconds: 5 };

  it('writes a section for each port', () => {
    const text = render([site], paths, limits);
    assert.ok(
      text.includes(
        `
listen shop:web:80
  bind 192.0.2.7:80
  acl let-in src 10.0.0.0/8
  acl let-in src 192.0.2.0/24
  tcp-request connection reject if !let-in
  # A process that hands over to another counts no servers any more, but still serves whom it has taken in.
  tcp-request connection reject if { nbsrv eq 0 } !{ stopping }
  stick-table type ip size 100k expire 60s peers troupe
  stick on src
  server 10.244.0.2:8080 10.244.0.2:8080
listen shop:web:443
`
          .trimEnd()
          .replace('\nlisten shop:web:443', ''),
      ),
      text,
    );
    assert.match(text, /listen shop:web:443\n {2}bind 192\.0\.2\.7:443\n/);
  });

  it('finds the shapes again in what it wrote', () => {
    const other = { ...site, key: 'default/x', sourceRanges: [], affinitySeconds: 0 };
    const found = readShapes(render([site, other], paths, limits));
    assert.deepEqual(found.map(shapeOf), [site, other].map(shapeOf));
    assert.deepEqual(readShapes(render([], paths, limits)), []);
  });

  it('has a shape that endpoints do not change, and everything else does', () => {
    assert.equal(shapeOf({ ...site, ports: site.ports.map(({ port }) => ({ port, backends: [] })) }), shapeOf(site));
    for (const change of [{ address: '192.0.2.8' }, { ports: [] }, { sourceRanges: [] }, { affinitySeconds: 0 }])
      assert.notEqual(shapeOf({ ...site, ...change }), shapeOf(site));
  });

  it('reads the servers that HAProxy has', () => {
    const line = (section: string, backend: string, admin: number): string =>
      `2 ${section} 1 ${backend} 127.0.0.1 2 ${admin} 1 1 1 1 0 2 0 0 0 0 - 18081 - 0 0 - - 0`;
    const answer = `1\n# be_id be_name srv_id ...\n${line('a:b:80', '10.0.0.1:80', 0)}\n${line('a:b:80', '10.0.0.2:80', 1)}\n\n`;
    assert.deepEqual(readServers(answer).get('a:b:80'), [
      { backend: '10.0.0.1:80', open: true },
      { backend: '10.0.0.2:80', open: false },
    ]);
  });

  it('brings any servers to those wanted, by commands that a settled section does not need', () => {
    const backends = fc.subarray(['1:1', '2:1', '3:1', '4:1']);
    const states = fc.uniqueArray(
      fc.record({ backend: fc.constantFrom('1:1', '2:1', '3:1', '4:1'), open: fc.boolean() }),
      {
        selector: ({ backend }) => backend,
      },
    );
    fc.assert(
      fc.property(states, backends, fc.func(fc.boolean()), (before, wanted, isBusy) => {
        const after = applied(before, commandsFor('s', before, wanted), isBusy);
        assert.ok(isSettled(after, wanted));
        assert.ok(commandsFor('s', after, wanted).every((command) => command.startsWith('del ')));
      }),
    );
  });

  it('reads statistics by the names of their columns', () => {
    const text = '# pxname,svname,scur,stot,bin,new\ndefault:web:80,FRONTEND,1,5,9,x\nstats,FRONTEND,1,1,1,x\n';
    const [row, ...rest] = readStatistics(text);
    assert.deepEqual(rest, []);
    assert.deepEqual(row?.labels, { namespace: 'default', service: 'web', port: '80' });
    assert.deepEqual([row?.open, row?.sessions, row?.bytesIn, row?.bytesOut], [1, 5, 9, 0]);
    assert.deepEqual(readStatistics(''), []);
  });
});

/** What HAProxy does with the commands. A server with connections cannot be deleted. */
function applied(
  before: readonly ServerState[],
  commands: readonly string[],
  isBusy: (name: string) => boolean,
): ServerState[] {
  const servers = new Map(before.map((each) => [each.backend, each.open]));
  for (const command of commands) {
    const [, verb, name = ''] = /^(add server|set server|del server) s\/(\S+)/.exec(command) ?? [];
    if (verb === 'add server') servers.set(name, false);
    else if (verb === 'set server') servers.set(name, command.endsWith('ready'));
    else if (servers.get(name) === false && !isBusy(name)) servers.delete(name);
  }
  return [...servers].map(([backend, open]) => ({ backend, open }));
}

describe('load-balancer-controller/progress', () => {
  it('tells of what is in effect, never of more', async () => {
    let revision = 5;
    const progress = new Progress(() => ({ epoch: 'e', services: revision, endpoints: revision }));
    const told = () => progress.programmed.endpoints;
    let said = 0;
    progress.onProgrammed(() => said++);
    assert.equal(told(), -1, 'before the first time nothing is known to be in effect');
    progress.begin(['a', 'b']);
    assert.equal(told(), -1);
    await progress.during('a', () => Promise.resolve());
    assert.equal(told(), -1);
    await progress.during('b', () => Promise.resolve());
    assert.deepEqual([told(), said], [5, 1]);
    revision = 6;
    assert.equal(told(), 6, 'a change that concerns nobody');
    revision = 7;
    progress.touch('a');
    assert.equal(told(), 6);
    await assert.rejects(progress.during('a', () => Promise.reject(new Error('failed'))));
    assert.equal(told(), 6, 'what failed is due still');
    await progress.during('a', () => {
      revision = 8;
      progress.touch('a'); // once more, while it is at work
      return Promise.resolve();
    });
    assert.equal(told(), 6);
    await progress.during('a', () => Promise.resolve());
    assert.deepEqual([told(), said], [8, 2]);
  });
});
