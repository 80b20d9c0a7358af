import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Container, Service } from '../../../lib/api/objects.ts';
import { ConfigMissing, asMap, environment, expanded, fieldOf } from '../../../node-agent/environment.ts';
import { serviceLinks } from '../../../node-agent/service-links.ts';
import { engineResources, oomScore, quantityIn } from '../../../node-agent/resource-amount.ts';
import { aContainer, aPod, aService } from '../../support/builders.ts';

const node = { cpuMilli: 4000, memoryBytes: 8 * 2 ** 30 };
function env(
  container: Partial<Container>,
  services: readonly Service[] = [],
  enableServiceLinks = true,
): Record<string, string> {
  const pod = aPod({ name: 'web-1', labels: { tier: 'front' }, spec: { enableServiceLinks } });
  const list = environment({
    pod,
    container: aContainer(container),
    podIp: '10.244.0.5',
    hostIp: '192.0.2.10',
    links: serviceLinks(pod, services, undefined).variables,
    configMaps: new Map([
      [
        'theme',
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: aPod().metadata,
          data: { colour: 'blue', 'not a name!': 'x' },
        },
      ],
    ]),
    secrets: new Map([
      [
        'key',
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: aPod().metadata,
          data: { token: Buffer.from('s3cret').toString('base64') },
        },
      ],
    ]),
    node,
  });
  return Object.fromEntries(asMap(list));
}

describe('node-agent/environment', () => {
  const values = new Map([
    ['A', 'one'],
    ['B', ''],
  ]);
  const expansions = [
    ['plain', 'plain'],
    ['$(A)', 'one'],
    ['x$(A)y$(B)z', 'xoneyz'],
    ['$(MISSING)', '$(MISSING)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$one'],
    ['$A $ $( $(', '$A $ $( $('],
  ] as const;
  for (const [text, want] of expansions)
    it(`expands ${text} to ${want}`, () => assert.equal(expanded(text, values), want));
  it('leaves text without a dollar sign as it is', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('$')),
        (text) => expanded(text, values) === text,
      ),
    );
  });

  it('tells of a Service in all the variables that the API promises', () => {
    const service = aService({
      name: 'redis-master',
      clusterIP: '10.96.0.7',
      ports: [
        { name: 'db', port: 6379 },
        { name: 'stats', port: 9121 },
      ],
    });
    assert.deepEqual(env({}, [service]), {
      REDIS_MASTER_SERVICE_HOST: '10.96.0.7',
      REDIS_MASTER_SERVICE_PORT: '6379',
      REDIS_MASTER_SERVICE_PORT_DB: '6379',
      REDIS_MASTER_SERVICE_PORT_STATS: '9121',
      REDIS_MASTER_PORT: 'tcp://10.96.0.7:6379',
      REDIS_MASTER_PORT_6379_TCP: 'tcp://10.96.0.7:6379',
      REDIS_MASTER_PORT_6379_TCP_PROTO: 'tcp',
      REDIS_MASTER_PORT_6379_TCP_PORT: '6379',
      REDIS_MASTER_PORT_6379_TCP_ADDR: '10.96.0.7',
      REDIS_MASTER_PORT_9121_TCP: 'tcp://10.96.0.7:9121',
      REDIS_MASTER_PORT_9121_TCP_PROTO: 'tcp',
      REDIS_MASTER_PORT_9121_TCP_PORT: '9121',
      REDIS_MASTER_PORT_9121_TCP_ADDR: '10.96.0.7',
    });
  });
  it('tells nothing of headless Services, nor where links are off', () => {
    assert.deepEqual(env({}, [aService({ clusterIP: 'None' })]), {});
    assert.deepEqual(env({}, [aService()], false), {});
  });
  it('lets explicit variables win over those of Services and envFrom, in order', () => {
    const found = env(
      {
        envFrom: [{ configMapRef: { name: 'theme' }, prefix: 'T_' }, { secretRef: { name: 'key' } }],
        env: [
          { name: 'T_colour', value: 'red' },
          { name: 'BOTH', value: '$(T_colour)-$(token)' },
          { name: 'WEB_SERVICE_HOST', value: 'mine' },
        ],
      },
      [aService()],
    );
    assert.deepEqual(
      [found['T_colour'], found['BOTH'], found['WEB_SERVICE_HOST'], found['T_not a name!']],
      ['red', 'red-s3cret', 'mine', undefined],
    );
  });
  it('takes values from fields, resources, ConfigMaps and Secrets', () => {
    const found = env({
      resources: { limits: { cpu: '1500m' } },
      env: [
        { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        { name: 'TIER', valueFrom: { fieldRef: { fieldPath: "metadata.labels['tier']" } } },
        { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
        { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
        { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'theme', key: 'colour' } } },
        { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'key', key: 'token' } } },
        { name: 'MAYBE', valueFrom: { configMapKeyRef: { name: 'none', key: 'x', optional: true } } },
      ],
    });
    assert.deepEqual(found, {
      NAME: 'web-1',
      TIER: 'front',
      IP: '10.244.0.5',
      CPU: '2',
      MEMORY: '8192',
      COLOUR: 'blue',
      TOKEN: 's3cret',
    });
  });
  const missing = [
    {
      it: 'a ConfigMap',
      env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'none', key: 'x' } } }],
      says: /configmap "none" not found/,
    },
    {
      it: 'a key',
      env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'key', key: 'nope' } } }],
      says: /key nope in Secret default\/key/,
    },
    {
      it: 'a field',
      env: [{ name: 'X', valueFrom: { fieldRef: { fieldPath: 'spec.nothing' } } }],
      says: /spec\.nothing/,
    },
  ];
  for (const c of missing) {
    it(`names ${c.it} that is not there`, () => {
      assert.throws(
        () => env({ env: c.env }),
        (error: unknown) => error instanceof ConfigMissing && c.says.test(error.message),
      );
    });
  }
  it('lists labels sorted and quoted, as files want them', () => {
    const pod = aPod({ labels: { b: '2', a: 'x"y' } });
    assert.equal(fieldOf({ pod, podIp: '', hostIp: '' }, 'metadata.labels'), 'a="x\\"y"\nb="2"');
  });
});

describe('node-agent/resource-amount', () => {
  it('turns requests into shares and limits into quotas', () => {
    const container = aContainer({
      resources: { requests: { cpu: '250m', memory: '64Mi' }, limits: { cpu: '500m', memory: '128Mi' } },
    });
    assert.deepEqual(engineResources(container), {
      cpuShares: 256,
      cpuQuotaMicros: 50_000,
      memoryBytes: 128 * 2 ** 20,
    });
    assert.deepEqual(engineResources(aContainer()), { cpuShares: 2 });
  });
  it('rounds up to the divisor', () => {
    assert.equal(quantityIn({ requests: { memory: '100Mi' } }, 'requests.memory', node, '1Gi'), '1');
    assert.equal(quantityIn({}, 'limits.cpu', node), '4');
    assert.equal(quantityIn({ limits: { 'example.com/gpu': '2' } }, 'limits.example.com/gpu', node), '2');
    assert.equal(quantityIn({}, 'limits.example.com/gpu', node), '0');
  });
  it('lets those who asked for nothing go first when memory runs out', () => {
    const score = (qosClass: 'Guaranteed' | 'Burstable' | 'BestEffort', memory: string): number =>
      oomScore(aPod({ status: { qosClass } }), aContainer({ resources: { requests: { memory } } }), node.memoryBytes);
    assert.deepEqual(
      [score('Guaranteed', '1Gi'), score('Burstable', '4Gi'), score('Burstable', '1Mi'), score('BestEffort', '0')],
      [-997, 500, 999, 1000],
    );
  });
});
