import fc from 'fast-check';
import assert from 'node:assert/strict';
import type { Json } from '../../../../lib/api/json.ts';
import type { Pod, ResourceQuota } from '../../../../lib/api/objects.ts';
import { isApiError } from '../../../../lib/base/errors.ts';
import { systemClock } from '../../../../lib/base/clock.ts';
import { newRegistry, type RunningRegistry } from '../../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import { until } from '../../../support/until.ts';

const resourcesOf = (requests: object | undefined, limits?: object): object => ({
  resources: { ...(requests === undefined ? {} : { requests }), ...(limits === undefined ? {} : { limits }) },
});
const podOf = (name: string, container: object = {}, spec: object = {}): object => ({
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'i', ...container }], ...spec },
});

describe('apiserver/registry: bounds of namespaces', () => {
  let store: MemoryStore;
  const open: RunningRegistry[] = [];
  const start = async (): Promise<RunningRegistry> => {
    const registry = await newRegistry({ store, clock: systemClock });
    open.push(registry);
    return registry;
  };
  let registry: RunningRegistry;
  beforeEach(async () => {
    store = new MemoryStore({ clock: systemClock });
    registry = await start();
  });
  afterEach(async () => {
    for (const each of open.splice(0)) await each.close();
    await store.close();
  });

  const make = (resource: string, draft: object, on = registry) => on.create(resource, 'default', draft, {});
  const quota = (hard: object, spec: object = {}, name = 'q') =>
    make('resourcequotas', { metadata: { name }, spec: { hard, ...spec } });
  const refused = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
    } catch (error) {
      assert.ok(isApiError(error), String(error));
      assert.equal(error.reason, 'Forbidden');
      return error.message;
    }
    return assert.fail('was not refused');
  };
  const usedOf = async (name = 'q'): Promise<Json | undefined> => {
    const served = await registry.get('resourcequotas', `default/${name}`);
    return (JSON.parse(served?.json.toString() ?? '{}') as ResourceQuota).status.used;
  };
  const tells = (wanted: Json): Promise<unknown> =>
    until(async () => JSON.stringify(await usedOf()) === JSON.stringify(wanted), { what: JSON.stringify(wanted) });

  describe('ResourceQuota', () => {
    it('refuses what would be too much, in the words that clients know, and says what is used', async () => {
      await quota({ pods: '2' });
      await make('pods', podOf('a'));
      await make('pods', podOf('b'));
      assert.equal(
        await refused(make('pods', podOf('c'))),
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2',
      );
      assert.match(
        await refused(registry.create('pods', 'default', podOf('c'), { dryRun: true })),
        /exceeded quota: q/,
      );
      await tells({ pods: '2' });
      await registry.delete('pods', 'default/a', {});
      await make('pods', podOf('c'));
      await tells({ pods: '2' });
    });

    it('counts no pod that has ended', async () => {
      await quota({ pods: '1' });
      await make('pods', podOf('a'));
      await registry.patch('pods', 'default/a', { status: { phase: 'Succeeded' } }, { subresource: 'status' });
      await make('pods', podOf('b'));
      await refused(make('pods', podOf('c')));
    });

    it('adds up what containers ask for, and wants them to say it', async () => {
      await quota({ 'requests.cpu': '1', 'limits.memory': '1Gi' });
      assert.equal(
        await refused(make('pods', podOf('a'))),
        'pods "a" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c',
      );
      await make('pods', podOf('a', resourcesOf({ cpu: '600m' }, { memory: '512Mi' })));
      assert.equal(
        await refused(make('pods', podOf('b', resourcesOf({ cpu: '500m' }, { memory: '1Mi' })))),
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1',
      );
      await tells({ 'requests.cpu': '600m', 'limits.memory': '512Mi' });
    });

    const counted: readonly (readonly [string, string, string, (name: string) => object])[] = [
      ['services', 'services', 'services', (name) => ({ metadata: { name }, spec: { ports: [{ port: 80 }] } })],
      [
        'node ports',
        'services.nodeports',
        'services',
        (name) => ({ metadata: { name }, spec: { type: 'NodePort', ports: [{ port: 80 }] } }),
      ],
      [
        'load balancers',
        'services.loadbalancers',
        'services',
        (name) => ({ metadata: { name }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } }),
      ],
      ['secrets', 'secrets', 'secrets', (name) => ({ metadata: { name } })],
      ['config maps', 'configmaps', 'configmaps', (name) => ({ metadata: { name } })],
      ['leases by their group', 'count/leases.coordination.k8s.io', 'leases', (name) => ({ metadata: { name } })],
      ['roles by their group', 'count/roles.rbac.authorization.k8s.io', 'roles', (name) => ({ metadata: { name } })],
      [
        'claims',
        'persistentvolumeclaims',
        'persistentvolumeclaims',
        (name) => ({
          metadata: { name },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        }),
      ],
    ];
    for (const [what, name, resource, draft] of counted)
      it(`counts ${what}`, async () => {
        await quota({ [name]: '1' });
        await make(resource, draft('a'));
        assert.match(await refused(make(resource, draft('b'))), new RegExp(`exceeded quota: q, requested: ${name}=1`));
        await tells({ [name]: '1' });
      });

    it('counts what a Service becomes, and what a claim grows by', async () => {
      await quota({ 'services.nodeports': '1', 'requests.storage': '2Gi' });
      const service = (type: string) => ({ spec: { type, ports: [{ port: 80 }] } });
      await make('services', { metadata: { name: 'a' }, ...service('NodePort') });
      await make('services', { metadata: { name: 'b' }, ...service('ClusterIP') });
      assert.match(
        await refused(registry.patch('services', 'default/b', { spec: { type: 'NodePort' } }, {})),
        /requested: services.nodeports=1/,
      );
      await registry.patch('services', 'default/a', { spec: { type: 'ClusterIP' } }, {});
      await registry.patch('services', 'default/b', { spec: { type: 'NodePort' } }, {});
    });

    const scoped: readonly (readonly [string, object, object, object])[] = [
      ['BestEffort', { scopes: ['BestEffort'] }, podOf('in'), podOf('out', resourcesOf({ cpu: '1' }))],
      ['NotBestEffort', { scopes: ['NotBestEffort'] }, podOf('in', resourcesOf({ cpu: '1' })), podOf('out')],
      ['Terminating', { scopes: ['Terminating'] }, podOf('in', {}, { activeDeadlineSeconds: 9 }), podOf('out')],
      ['NotTerminating', { scopes: ['NotTerminating'] }, podOf('in'), podOf('out', {}, { activeDeadlineSeconds: 9 })],
      [
        'PriorityClass',
        { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }] } },
        podOf('in', {}, { priorityClassName: 'high' }),
        podOf('out'),
      ],
    ];
    for (const [scope, spec, within, without] of scoped)
      it(`counts pods of the scope ${scope} alone`, async () => {
        await registry.create('priorityclasses', undefined, { metadata: { name: 'high' }, value: 5 }, {});
        await quota({ pods: '0' }, spec);
        assert.match(await refused(make('pods', within)), /exceeded quota/);
        await make('pods', without);
      });

    it('is never exceeded, however many write at once by way of several servers, and is used up in the end', async () => {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 1, max: 12 }), async (hard, wanted) => {
          store = new MemoryStore({ clock: systemClock });
          const servers = [await start(), await start()];
          registry = servers[0] as RunningRegistry;
          await quota({ pods: String(hard) });
          const results = await Promise.allSettled(
            Array.from({ length: wanted }, (_, i) => make('pods', podOf(`p-${i}`), servers[i % 2])),
          );
          const made = results.filter(({ status }) => status === 'fulfilled').length;
          assert.equal(made, Math.min(hard, wanted));
          assert.equal((await registry.list('pods', { namespace: 'default' })).items.length, made);
          for (const each of open.splice(0)) await each.close();
        }),
        { numRuns: 12 },
      );
      registry = await start();
    });
  });

  describe('LimitRange', () => {
    const range = (...limits: object[]) => make('limitranges', { metadata: { name: 'r' }, spec: { limits } });
    const made = async (draft: object): Promise<Pod> => (await make('pods', draft)).object as Pod;

    it('gives containers what they do not ask for, and the pod the class that follows', async () => {
      await range({ type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '100m' } });
      const plain = await made(podOf('a'));
      assert.deepEqual(plain.spec.containers[0]?.resources, { limits: { cpu: '500m' }, requests: { cpu: '100m' } });
      assert.equal(plain.status.qosClass, 'Burstable');
      const own = await made(podOf('b', resourcesOf({ cpu: '200m' })));
      assert.deepEqual(own.spec.containers[0]?.resources, { limits: { cpu: '500m' }, requests: { cpu: '200m' } });
    });

    const bounds: readonly (readonly [string, object, object, string])[] = [
      [
        'too little for a container',
        { type: 'Container', min: { cpu: '100m' } },
        resourcesOf({ cpu: '50m' }),
        'minimum cpu usage per Container is 100m, but request is 50m',
      ],
      [
        'too much for a container',
        { type: 'Container', max: { memory: '1Gi' } },
        resourcesOf({ memory: '2Gi' }, { memory: '2Gi' }),
        '[maximum memory usage per Container is 1Gi, but limit is 2Gi, maximum memory usage per Container is 1Gi, but request is 2Gi]',
      ],
      [
        'too much for a pod',
        { type: 'Pod', max: { cpu: '1' } },
        resourcesOf({ cpu: '100m' }, { cpu: '2' }),
        'maximum cpu usage per Pod is 1, but limit is 2',
      ],
      [
        'a limit too far above the request',
        { type: 'Container', maxLimitRequestRatio: { cpu: '2' } },
        resourcesOf({ cpu: '100m' }, { cpu: '400m' }),
        'cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000',
      ],
    ];
    for (const [what, item, container, says] of bounds)
      it(`refuses ${what}`, async () => {
        await range(item);
        assert.equal(await refused(make('pods', podOf('a', container))), `pods "a" is forbidden: ${says}`);
      });

    it('bounds the size of claims', async () => {
      await range({ type: 'PersistentVolumeClaim', max: { storage: '1Gi' } });
      const claim = (storage: string) => ({
        metadata: { name: 'c' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
      });
      assert.equal(
        await refused(make('persistentvolumeclaims', claim('2Gi'))),
        'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi',
      );
      await make('persistentvolumeclaims', claim('1Gi'));
    });
  });

  describe('PriorityClass', () => {
    const priorityClass = (name: string, more: object) =>
      registry.create('priorityclasses', undefined, { metadata: { name }, ...more }, {});
    const specOf = async (draft: object): Promise<Pod['spec']> => ((await make('pods', draft)).object as Pod).spec;

    it('gives pods the value of their class, the default one, or none', async () => {
      assert.equal((await specOf(podOf('none'))).priority, undefined);
      await priorityClass('high', { value: 10 });
      assert.equal((await specOf(podOf('named', {}, { priorityClassName: 'high' }))).priority, 10);
      await priorityClass('usual', { value: 3, globalDefault: true });
      const usual = await specOf(podOf('usual'));
      assert.deepEqual([usual.priorityClassName, usual.priority], ['usual', 3]);
      const critical = await specOf(podOf('critical', {}, { priorityClassName: 'system-node-critical' }));
      assert.equal(critical.priority, 2_000_001_000);
    });

    it('refuses classes that are not there, other values than theirs, and a second default', async () => {
      assert.match(
        await refused(make('pods', podOf('a', {}, { priorityClassName: 'no' }))),
        /no PriorityClass with name no/,
      );
      await priorityClass('high', { value: 10, globalDefault: true });
      assert.match(await refused(make('pods', podOf('a', {}, { priority: 7 }))), /must not be provided/);
      assert.match(
        await refused(priorityClass('other', { value: 1, globalDefault: true })),
        /already marked as default/,
      );
    });
  });
});
