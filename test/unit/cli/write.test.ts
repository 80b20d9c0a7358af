import assert from 'node:assert/strict';
import { aNamespace, anRc, aPod, aService } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe } from './run.ts';

describe('cli: commands that change objects', () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
    client.put('replicationcontrollers', anRc({ name: 'web', replicas: 3, status: { replicas: 3 } }));
    client.put('pods', aPod({ name: 'web-1', labels: { app: 'web', tier: 'front' } }));
    client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' } }));
    client.put('services', aService({ name: 'web' }));
    client.put('namespaces', aNamespace({ name: 'shop' }));
  });
  const replicas = (): number | undefined => client.peek('replicationcontrollers', 'default/web')?.spec.replicas;
  const labels = (name: string): object | undefined => client.peek('pods', `default/${name}`)?.metadata.labels;

  describe('autoscale', () => {
    const made = () => client.peek('horizontalpodautoscalers', 'default/web');

    it('makes an autoscaler of the same name', async () => {
      const said = await troupe(client, 'autoscale rc/web --min 2 --max 9 --cpu 60% --requests 100 --service front');
      assert.equal(
        said.out,
        'horizontalpodautoscaler.autoscaling/web autoscales replicationcontroller/web\n',
        said.err,
      );
      assert.deepEqual(made()?.spec, {
        scaleTargetRef: { apiVersion: 'v1', kind: 'ReplicationController', name: 'web' },
        minReplicas: 2,
        maxReplicas: 9,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } },
          {
            type: 'Object',
            object: {
              describedObject: { apiVersion: 'v1', kind: 'Service', name: 'front' },
              metric: { name: 'requests-per-second' },
              target: { type: 'AverageValue', averageValue: '100' },
            },
          },
        ],
      });
      assert.match(
        (await troupe(client, 'describe hpa/web')).out,
        /requests-per-second of Service front: <unknown>\/100/,
      );
    });

    for (const [line, why] of [
      ['autoscale rc/web', /--max/],
      ['autoscale svc/web --max 3', /cannot be scaled/],
      ['autoscale rc --max 3', /name one thing/],
      ['autoscale rc/web --max many', /whole number/],
      ['autoscale rc/web --max 3 --service x', /--requests/],
    ] as const)
      it(`refuses ${line}`, async () => {
        const said = await troupe(client, line);
        assert.equal(said.code, 2);
        assert.match(said.err, why);
        assert.equal(made(), undefined);
      });
  });

  describe('scale', () => {
    it('sets the count through the scale of the object', async () => {
      assert.equal(
        (await troupe(client, 'scale rc/web --replicas=5')).out,
        'replicationcontroller/web scaled from 3 to 5\n',
      );
      assert.equal(replicas(), 5);
      assert.equal((client.writes[0]?.options as { subresource: string }).subresource, 'scale');
      assert.equal((await troupe(client, 'scale rc web --replicas 0')).code, 0);
      assert.equal(replicas(), 0);
    });

    it('scales kinds that users defined, where these have a scale', async () => {
      const define = (plural: string, kind: string, subresources: object): void => {
        const versions = [{ name: 'v1', served: true, storage: true, subresources }];
        client.put('customresourcedefinitions', {
          ...{ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' },
          metadata: { ...aNamespace({ name: 'x' }).metadata, name: `${plural}.example.com` },
          spec: {
            group: 'example.com',
            scope: 'Namespaced',
            names: { plural, kind, singular: kind.toLowerCase() },
            versions,
          },
          status: { conditions: [{ type: 'Established', status: 'True' }] },
        });
      };
      define('rings', 'Ring', { scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } });
      define('stones', 'Stone', {});
      client.put('rings.example.com', {
        ...{ apiVersion: 'example.com/v1', kind: 'Ring', spec: { size: 2 } },
        metadata: { ...aNamespace({ name: 'one' }).metadata, namespace: 'default' },
      });
      const said = await troupe(client, 'scale ring/one --replicas=5 --current-replicas=2');
      assert.deepEqual([said.code, said.out], [0, 'ring.example.com/one scaled from 2 to 5\n'], said.err);
      const { body, options } = client.writes[0] ?? {};
      assert.deepEqual((body as { spec: object }).spec, { replicas: 5 }, 'in the form of a Scale');
      assert.equal((options as { subresource: string }).subresource, 'scale');
      const none = await troupe(client, 'scale stone/one --replicas=5');
      assert.match(none.err, /stones.example.com cannot be scaled/);
    });

    it('says when there is nothing to do', async () => {
      assert.equal(
        (await troupe(client, 'scale rc/web --replicas=3')).out,
        'replicationcontroller/web has 3 replicas already\n',
      );
    });

    it('changes only the count it was told to expect, also when it changes meanwhile', async () => {
      const said = await troupe(client, 'scale rc/web --replicas=5 --current-replicas=2');
      assert.equal(said.code, 1);
      assert.match(said.err, /could not scale replicationcontroller\/web: it has 3 replicas, not 2/);
      client.beforeWrite = () => {
        client.put('replicationcontrollers', anRc({ name: 'web', replicas: 4 }));
      };
      assert.equal((await troupe(client, 'scale rc/web --replicas=5 --current-replicas=3')).code, 1);
      assert.equal(replicas(), 4);
    });

    for (const [line, says] of [
      ['scale rc/web', /required option '--replicas <count>' not specified/],
      ['scale rc/web --replicas=-1', /--replicas -1: must be a whole number, 0 or more/],
      ['scale rc/web --replicas=2.5', /--replicas 2\.5: must be a whole number/],
      ['scale pod/web-1 --replicas=1', /pods cannot be scaled; replicationcontrollers, replicasets, deployments can/],
      ['scale rc --replicas=1', /say which: a name, a selector \(-l\), or --all/],
    ] as const) {
      it(`refuses "${line}"`, async () => {
        const said = await troupe(client, line);
        assert.equal(said.code, 2);
        assert.match(said.err, says);
      });
    }
  });

  describe('label and annotate', () => {
    it('set and take away, and say what they did', async () => {
      const said = await troupe(client, 'label pods web-1 web-2 stage=test tier-');
      assert.equal(said.out, 'pod/web-1 labeled\npod/web-2 labeled\n');
      assert.deepEqual(labels('web-1'), { app: 'web', stage: 'test' });
      assert.deepEqual(labels('web-2'), { app: 'web', stage: 'test' });
      assert.equal((await troupe(client, 'label pod/web-1 tier-')).out, 'pod/web-1 not labeled: nothing to change\n');
      assert.equal((await troupe(client, 'annotate svc/web note=a=b')).out, 'service/web annotated\n');
      assert.deepEqual(client.peek('services', 'default/web')?.metadata.annotations, { note: 'a=b' });
    });

    it('replace a value only with --overwrite', async () => {
      const said = await troupe(client, 'label pod web-1 tier=back');
      assert.equal(said.code, 1);
      assert.match(
        said.err,
        /could not label pod\/web-1: labels: "tier" has the value "front" already; --overwrite sets it to "back"/,
      );
      assert.equal((await troupe(client, 'label pod web-1 tier=back --overwrite')).code, 0);
      assert.deepEqual(labels('web-1'), { app: 'web', tier: 'back' });
    });

    it('see a value that another set at the same time', async () => {
      let others = 1;
      client.beforeWrite = () => {
        if (others-- > 0) client.put('pods', aPod({ name: 'web-2', labels: { app: 'web', stage: 'live' } }));
      };
      const said = await troupe(client, 'label pod web-2 stage=test');
      assert.equal(said.code, 1);
      assert.match(said.err, /"stage" has the value "live" already/);
    });

    it('work on a selection', async () => {
      assert.equal(
        (await troupe(client, 'label pods -l app=web checked=yes')).out,
        'pod/web-1 labeled\npod/web-2 labeled\n',
      );
      assert.match((await troupe(client, 'label pods -l app=none checked=yes')).err, /no pods match/);
    });

    for (const [line, says] of [
      ['label pod web-1', /nothing to label: give labels as key=value, or key- to take one away/],
      ['label pods a=b', /say which: names, a selector \(-l\), or --all/],
      ['label pod web-1 a=b web-2', /"web-2": after the first of the labels come only key=value and key-/],
      ['label pod web-1 a=b a-', /"a" is given twice/],
      ['annotate pod web-1 =b', /the key is missing before "="/],
    ] as const) {
      it(`refuses "${line}"`, async () => {
        const said = await troupe(client, line);
        assert.equal(said.code, 2);
        assert.match(said.err, says);
      });
    }
  });

  describe('delete', () => {
    it('deletes by name, and waits until the object is gone', async () => {
      client.gracefulPods = true;
      const running = start(client, 'delete pod web-1');
      await until(() => client.watching === 1, { what: 'the wait' });
      assert.equal(running.out(), 'pod/web-1 deleted\n');
      client.remove('pods', 'default/web-1');
      assert.deepEqual(await running.said, { code: 0, out: 'pod/web-1 deleted\n', err: '' });
    });

    it('takes an object of the same name for another one', async () => {
      client.gracefulPods = true;
      const running = start(client, 'delete pod web-1');
      await until(() => client.watching === 1, { what: 'the wait' });
      client.remove('pods', 'default/web-1');
      client.put('pods', aPod({ name: 'web-1', uid: 'another' }));
      assert.equal((await running.said).code, 0);
    });

    it('says what is left when it has waited long enough', async () => {
      client.gracefulPods = true;
      const said = await troupe(client, 'delete pod web-1 --timeout=50ms');
      assert.equal(said.code, 1);
      assert.match(said.err, /still there after 0\.05 s: 1 of pods \(default\/web-1\); deletion goes on/);
    });

    it('does not wait when told so, and ends with 130 when it waits and is interrupted', async () => {
      client.gracefulPods = true;
      assert.equal((await troupe(client, 'delete pod web-1 --no-wait')).code, 0);
      const running = start(client, 'delete pod web-2');
      await until(() => client.watching === 1, { what: 'the wait' });
      running.interrupt();
      const said = await running.said;
      assert.deepEqual([said.code, said.err], [130, '']);
    });

    it('leaves the pods of a ReplicationController alone unless told otherwise, and says so', async () => {
      const said = await troupe(client, 'delete rc web');
      assert.equal(
        said.out,
        'replicationcontroller/web deleted; its 3 pods run on (--cascade=background deletes them too)\n',
      );
      assert.deepEqual(client.writes[0]?.body, { propagationPolicy: 'Orphan' });
      client.put('replicationcontrollers', anRc({ name: 'web', status: { replicas: 3 } }));
      const cascading = await troupe(client, 'delete rc web --cascade=background');
      assert.equal(cascading.out, 'replicationcontroller/web deleted\n');
      assert.deepEqual(client.writes[1]?.body, { propagationPolicy: 'Background' });
    });

    it('passes the grace period on', async () => {
      await troupe(client, 'delete pod web-1 --grace-period=7');
      await troupe(client, 'delete pod web-2 --now');
      const forced = await troupe(client, 'delete ns shop --force --grace-period=0');
      assert.match(forced.err, /^warning: forced deletion does not wait for the node/);
      assert.deepEqual(
        client.writes.map(({ body }) => body),
        [{ gracePeriodSeconds: 7 }, { gracePeriodSeconds: 1 }, { gracePeriodSeconds: 0 }],
      );
    });

    it('deletes a selection, or all', async () => {
      assert.equal((await troupe(client, 'delete pods -l tier')).out, 'pod/web-1 deleted\n');
      assert.equal((await troupe(client, 'delete pods,svc --all -o name')).out, 'pod/web-2\nservice/web\n');
      assert.equal((await troupe(client, 'delete pods --all')).err, 'nothing to delete\n');
    });

    it('deletes what it finds and fails for what it does not', async () => {
      const said = await troupe(client, 'delete pod ghost web-1');
      assert.equal(said.code, 1);
      assert.equal(said.out, 'pod/web-1 deleted\n');
      assert.match(said.err, /pods "ghost" not found in namespace "default"/);
      assert.equal((await troupe(client, 'delete pod ghost --ignore-not-found')).code, 0);
    });

    for (const [line, says] of [
      ['delete pods', /say which to delete: names, a selector \(-l\), or --all/],
      ['delete', /name a kind/],
      ['delete pod web-1 --all', /give names or --all, not both/],
      ['delete pod web-1 --now --grace-period=5', /say different things: give one/],
      ['delete rc web --cascade=maybe', /--cascade maybe: must be orphan, background or foreground/],
      ['delete pod web-1 --grace-period=soon', /--grace-period soon: must be a whole number/],
    ] as const) {
      it(`refuses "${line}" and deletes nothing`, async () => {
        const said = await troupe(client, line);
        assert.equal(said.code, 2);
        assert.match(said.err, says);
        assert.equal(client.writes.length, 0);
      });
    }
  });

  describe('quarantine and release', () => {
    const annotations = (name: string): object | undefined =>
      client.peek('pods', `default/${name}`)?.metadata.annotations;

    it('sets the labels aside that selectors ask for, says whose they are, and gives them back', async () => {
      const said = await troupe(client, 'quarantine pod/web-1 --no-wait');
      assert.deepEqual(
        [said.code, said.out],
        [0, 'pod/web-1 quarantined: taken from service/web, replicationcontroller/web\n'],
        said.err,
      );
      assert.deepEqual(labels('web-1'), { tier: 'front', 'troupe.dev/quarantine': 'true' });
      assert.deepEqual(annotations('web-1'), { 'troupe.dev/labels-set-aside': '{"app":"web"}' });
      assert.match((await troupe(client, 'quarantine pod/web-1')).out, /unchanged: it is in quarantine/);
      assert.match((await troupe(client, 'get pods')).out, /web-1 .*,Quarantined/);
      assert.equal((await troupe(client, 'release pod web-1')).out, 'pod/web-1 released\n');
      assert.deepEqual(labels('web-1'), { app: 'web', tier: 'front' });
      assert.deepEqual(annotations('web-1'), {});
    });

    it('waits until no traffic is led to it and its place is taken, and says what is not so', async () => {
      const reply = { serviceRevision: '1', endpointsRevision: '1' };
      const service = { serviceRevision: '1', endpointsRevision: '1' };
      const state = { part: 'proxy', node: 'n1', service };
      client.answers.set('troupe.v1.Effects/List', () => ({ ...reply, states: [state] }));
      const said = await troupe(client, 'quarantine pod/web-1 --timeout 1s');
      assert.deepEqual(
        [said.code, said.err],
        [0, 'service/web leads elsewhere: 1 of 1 proxies and DNS servers say so\n'],
      );
      const late = { ...state, service: { ...service, endpointsRevision: '' } };
      client.answers.set('troupe.v1.Effects/List', () => ({ ...reply, states: [late] }));
      const other = await troupe(client, 'quarantine pod/web-2 --timeout 1ms');
      assert.equal(other.code, 1);
      assert.match(other.err, /not so after 0.001 s: service\/web leads elsewhere/);
    });

    it('refuses what it cannot do', async () => {
      assert.match((await troupe(client, 'quarantine rc/web')).err, /is for pods by name/);
      assert.match((await troupe(client, 'quarantine pods')).err, /is for pods by name/);
      assert.match((await troupe(client, 'release pod/web-1')).err, /it is not in quarantine/);
      assert.equal((await troupe(client, 'release pod/none')).code, 1);
    });

    it('ends the pod instead where that is asked for', async () => {
      await troupe(client, 'quarantine pod/web-1 --no-wait');
      assert.equal((await troupe(client, 'release pod/web-1 --delete')).out, 'pod/web-1 deleted\n');
      assert.equal(client.peek('pods', 'default/web-1'), undefined);
    });
  });
});
