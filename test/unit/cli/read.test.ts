import assert from 'node:assert/strict';
import type { ServiceSpec } from '../../../lib/api/objects.ts';
import type { LogWish } from '../../../lib/api/streams.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { PodStreams, PodTarget } from '../../../lib/client/pod-streams.ts';
import { aContainer, aNode, anEndpoints, anEvent, anRc, aPod, aService, uidOf } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe } from './run.ts';

describe('cli: commands that tell', () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
  });

  describe('describe', () => {
    it('shows a pod with its events', async () => {
      const pod = client.put(
        'pods',
        aPod({
          name: 'web-1',
          labels: { tier: 'front', app: 'web' },
          nodeName: 'n1',
          ip: '10.244.0.5',
          restarts: 2,
          cpu: '50m',
          ownerUid: uidOf('rc'),
        }),
      );
      client.put(
        'events',
        anEvent({
          name: 'e1',
          about: pod,
          reason: 'BackOff',
          message: 'Back-off restarting',
          type: 'Warning',
          count: 3,
        }),
      );
      client.put('events', anEvent({ name: 'e2', about: aPod({ name: 'web-1', uid: 'an earlier one' }) }));
      const said = await troupe(client, 'describe pod web-1');
      assert.equal(said.code, 0, said.err);
      assert.equal(
        said.out,
        `Name:             web-1
Namespace:        default
Labels:           app=web
                  tier=front
Created:          2026-01-01T00:00:00Z
Node:             n1
Started:          2026-01-01T00:00:00Z
Status:           Running
IP:               10.244.0.5
Controlled by:    ReplicationController/web
Restart policy:   Always
Service quality:  Burstable
Containers:
  main:
    Image:         example/web:1
    Image ID:      sha256:main
    Container ID:  docker://main
    State:         Running since 2026-01-01T00:00:00Z
    Ready:         true
    Restarts:      2
    Requests:      cpu 50m
Conditions:
  PodScheduled:     True
  ContainersReady:  True
  Ready:            True
Volumes:          <none>
Tolerations:      <none>
Events:
  TYPE      REASON    AGE               FROM        MESSAGE
  Warning   BackOff   5m (x3 over 5m)   scheduler   Back-off restarting
`,
      );
    });

    it('shows a service with the addresses behind it', async () => {
      client.put(
        'services',
        aService({ name: 'web', ports: [{ port: 80, targetPort: 'http', name: 'web', nodePort: 30080 }] }),
      );
      client.put(
        'endpoints',
        anEndpoints({
          name: 'web',
          ips: ['10.244.0.5'],
          notReadyIps: ['10.244.0.6'],
          ports: [{ port: 8080, protocol: 'TCP' }],
        }),
      );
      const { out } = await troupe(client, 'describe svc/web');
      assert.match(out, /^IP: +10\.96\.0\.20$/m);
      assert.match(out, /^Ports: +80\/TCP \(web\) to port http of the pods, port 30080 of every node$/m);
      assert.match(out, /^Endpoints: +10\.244\.0\.5:8080$/m);
      assert.match(out, /^Not ready: +10\.244\.0\.6:8080$/m);
    });

    it('shows what a load balancer gave and whom it lets through', async () => {
      const spec: Partial<ServiceSpec> = {
        type: 'LoadBalancer',
        loadBalancerIP: '192.0.2.9',
        healthCheckNodePort: 30_001,
        loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.0/24'],
        externalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      };
      const waiting = aService({ name: 'web', spec });
      client.put('services', waiting);
      assert.match((await troupe(client, 'describe svc/web')).out, /^Load balancer: +<pending>: no load balancer has/m);
      const failed = { port: 80, protocol: 'TCP', error: 'AddressInUse' } as const;
      const ingress = [{ ip: '192.0.2.9', ipMode: 'Proxy' as const, ports: [failed] }];
      client.put('services', { ...waiting, status: { loadBalancer: { ingress } } });
      const { out } = await troupe(client, 'describe svc/web');
      assert.match(
        out,
        /^Load balancer: +192\.0\.2\.9 \(through the balancer\), 80\/TCP is not served: AddressInUse$/m,
      );
      assert.match(out, /^Address asked for: +192\.0\.2\.9$/m);
      assert.match(out, /^Source ranges: +10\.0\.0\.0\/8\n +192\.0\.2\.0\/24$/m);
      assert.match(out, /^Health check: +port 30001 of every node$/m);
      assert.match(out, /^Session affinity: +ClientIP, for 60 s after the last connection$/m);
      assert.match(out, /^Traffic policy: +from outside only to endpoints of the node it came to$/m);
    });

    it('counts the pods that a ReplicationController owns, and no others', async () => {
      const rc = client.put(
        'replicationcontrollers',
        anRc({ name: 'web', replicas: 2, status: { replicas: 1, readyReplicas: 1 } }),
      );
      client.put('pods', aPod({ name: 'own', labels: { app: 'web' }, nodeName: 'n1', ownerUid: rc.metadata.uid }));
      client.put('pods', aPod({ name: 'stray', labels: { app: 'web' }, nodeName: 'n1' }));
      const { out } = await troupe(client, 'describe rc web');
      assert.match(out, /^Replicas: +1 now, 2 wanted, 1 ready, 0 available$/m);
      assert.match(out, /^Pods: +1 running, 0 pending, 0 succeeded, 0 failed$/m);
      assert.match(out, /^Pod template:\n {2}Labels: +app=web\n/m);
    });

    it('adds up what the pods of a node ask for', async () => {
      client.put('nodes', aNode({ name: 'n1', cpu: '4', memory: '8Gi' }));
      client.put('pods', aPod({ name: 'a', nodeName: 'n1', cpu: '500m', memory: '1Gi' }));
      client.put('pods', aPod({ name: 'b', namespace: 'shop', nodeName: 'n1', cpu: '1500m', memory: '1Gi' }));
      const limits = { cpu: '3', memory: '2Gi' };
      const greedy = { containers: [aContainer({ resources: { limits } })] };
      client.put('pods', aPod({ name: 'c', namespace: 'shop', nodeName: 'n1', spec: greedy }));
      client.put('pods', aPod({ name: 'done', nodeName: 'n1', cpu: '2', phase: 'Succeeded' }));
      client.put('pods', aPod({ name: 'elsewhere', nodeName: 'n2', cpu: '2' }));
      const { out } = await troupe(client, 'describe node n1');
      assert.match(out, /^Requested: +cpu 2 \(50%\)\n +memory 2Gi \(25%\)\n +pods 3 \(3%\)$/m);
      assert.match(out, /^Limits: +cpu 3 \(75%\)\n +memory 2Gi \(25%\)$/m);
      assert.match(out, /^ {2}default\/a: +ready, cpu 500m, memory 1Gi\n {2}shop\/b: +ready, cpu 1500m, memory 1Gi$/m);
      assert.ok(!out.includes('elsewhere') && !out.includes('done'));
    });

    it('does not show the values of a secret', async () => {
      const meta = aPod({ name: 's' }).metadata;
      client.put('secrets', {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: meta,
        type: 'Opaque',
        data: { password: 'aHVudGVyMg==' },
      });
      const { out } = await troupe(client, 'describe secret s');
      assert.match(out, /password: +7 bytes/);
      assert.ok(!out.includes('hunter2') && !out.includes('aHVudGVyMg'));
    });

    it('fails for what is not there', async () => {
      assert.equal((await troupe(client, 'describe pod ghost')).code, 1);
      assert.deepEqual(await troupe(client, 'describe pods'), { code: 0, out: '', err: 'No resources found.\n' });
    });
  });

  describe('events', () => {
    beforeEach(() => {
      client.put('events', { ...anEvent({ name: 'new', reason: 'Started' }), lastTimestamp: '2026-01-01T00:04:30Z' });
      client.put(
        'events',
        anEvent({ name: 'old', type: 'Warning', reason: 'FailedScheduling', message: 'no room\nat all' }),
      );
      client.put('events', anEvent({ name: 'other', about: aNode({ name: 'n1' }), reason: 'Ready' }));
    });

    it('shows the latest last', async () => {
      assert.equal(
        (await troupe(client, 'events --for pod/web-1')).out,
        `LAST SEEN   TYPE      REASON             OBJECT      MESSAGE
5m          Warning   FailedScheduling   pod/web-1   no room at all
30s         Normal    Started            pod/web-1   Assigned to n1
`,
      );
    });

    it('shows some types only, and says when there are none', async () => {
      assert.match((await troupe(client, 'events --types Warning --no-headers')).out, /^5m +Warning.*\n$/);
      assert.equal((await troupe(client, 'events -n shop')).err, 'No events in shop namespace.\n');
      assert.equal((await troupe(client, 'events --types Odd')).code, 2);
      assert.equal((await troupe(client, 'events --for pods')).code, 2);
    });

    it('goes on with what comes', async () => {
      const running = start(client, 'events -w --types Warning');
      await until(() => client.watching === 1, { what: 'the watch' });
      client.put('events', anEvent({ name: 'late', type: 'Warning', reason: 'Unhealthy' }));
      await until(() => running.out().includes('Unhealthy'), { what: 'the event' });
      running.interrupt();
      assert.equal((await running.said).code, 0);
    });
  });

  describe('logs', () => {
    /** What each container has written, in chunks; with `follow` the stream stays open after them. */
    const written = new Map<string, string[]>();
    const requests: object[] = [];
    const streams = logsOnly(
      (name) => written.get(name) ?? [],
      (request) => requests.push(request),
    );
    beforeEach(() => {
      written.clear();
      requests.length = 0;
      client.put('pods', aPod({ name: 'web-1', labels: { app: 'web' }, nodeName: 'n1' }));
      client.put('pods', aPod({ name: 'web-10', labels: { app: 'web' }, nodeName: 'n1' }));
      written.set('web-1/main', ['one\ntw', 'o\nthr\u00e9', 'e']);
      written.set('web-10/main', ['ten\n']);
    });

    it('shows what one pod wrote, as it is', async () => {
      const said = await troupe(client, 'logs web-1 --tail 5 --since 2m --timestamps --limit-bytes 99', { streams });
      assert.deepEqual(said, { code: 0, out: 'one\ntwo\nthr\u00e9e', err: '' }, 'as it is: no line break is added');
      assert.deepEqual(requests, [
        {
          follow: false,
          tailLines: 5,
          sinceSeconds: 120,
          limitBytes: 99,
          timestamps: true,
          previous: false,
          namespace: 'default',
          pod: 'web-1',
          container: 'main',
        },
      ]);
    });

    it('names the pod on each line where there are several', async () => {
      const want = '[web-1]  one\n[web-1]  two\n[web-1]  thr\u00e9e\n[web-10] ten\n';
      assert.equal((await troupe(client, 'logs -l app=web', { streams })).out, want);
      client.put('replicationcontrollers', anRc({ name: 'web' }));
      assert.equal((await troupe(client, 'logs rc/web', { streams })).out, want);
      assert.equal(
        (await troupe(client, 'logs -l app=web --no-prefix', { streams })).out,
        'one\ntwo\nthr\u00e9e\nten\n',
      );
    });

    it('follows, also pods that come later, until Ctrl-C', async () => {
      const running = start(client, 'logs -f -l app=web', { streams });
      await until(() => running.out().includes('ten') && client.watching === 1, { what: 'the first pods' });
      written.set('web-2/main', ['late\n']);
      client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' } }));
      await until(() => running.err().includes('web-2 has no node yet; waiting'), { what: 'the wait for a node' });
      client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' }, nodeName: 'n1' }));
      await until(() => running.out().includes('late'), { what: 'the late pod' });
      running.interrupt();
      assert.equal((await running.said).code, 0);
    });

    it('goes on after a break and with the next life of the container, and ends with the pod', async () => {
      const status = (id: string, more: object): object => ({
        ...{ name: 'main', ready: true, restartCount: 0, image: 'x', imageID: '', containerID: `docker://${id}` },
        ...more,
      });
      const put = (containerStatus: object, phase = 'Running'): void =>
        void client.put(
          'pods',
          aPod({ name: 'long', nodeName: 'n1', status: { phase, containerStatuses: [containerStatus] } } as never),
        );
      put(status('a', { state: { running: { startedAt: '2026-01-01T00:00:00Z' } } }));
      const asked: (string | undefined)[] = [];
      const turns: readonly (readonly (string | Error)[])[] = [
        ['@0/t/1', 'one\n', '@0/t/2', 'tw', new ApiError('ServiceUnavailable', 'the agent went away')],
        ['o\n', '@0/t/3'],
        ['@1/t/0', 'three\n', '@1/t/1'],
      ];
      const broken: PodStreams = {
        ...streams,
        async *logs(_, wish, __, onPosition) {
          asked.push(wish.after);
          for (const step of turns[asked.length - 1] ?? []) {
            if (step instanceof Error) throw step;
            if (step.startsWith('@')) onPosition?.(step.slice(1));
            else yield Buffer.from(step);
          }
        },
      };
      const running = start(client, 'logs -f long', { streams: broken });
      await until(() => running.out() === 'one\ntwo\n' && client.watching === 1, {
        what: () => running.err() + running.out(),
      });
      assert.match(running.err(), /the logs of pod\/long broke off; going on/);
      put(status('a', { state: { terminated: { exitCode: 3 } } }));
      await until(() => running.err().includes('container main of pod/long ended with exit code 3'), {
        what: 'the note',
      });
      put(status('b', { restartCount: 1, state: { running: { startedAt: '2026-01-01T00:00:01Z' } } }));
      await until(() => running.out() === 'one\ntwo\nthree\n' && client.watching === 1, { what: 'the next life' });
      put(status('b', { state: { terminated: { exitCode: 0 } } }), 'Succeeded');
      assert.equal((await running.said).code, 0);
      assert.deepEqual(asked, [undefined, '0/t/2+2', '0/t/3+0']);
    });

    it('chooses a container, and says which there are', async () => {
      const containers = [aContainer({ name: 'main' }), aContainer({ name: 'side' })];
      client.put('pods', aPod({ name: 'two', nodeName: 'n1', spec: { containers } }));
      written.set('two/main', ['m\n']);
      written.set('two/side', ['s\n']);
      const first = await troupe(client, 'logs two', { streams });
      assert.equal(first.out, 'm\n');
      assert.match(first.err, /two has the containers main, side; taking main \(-c takes another\)/);
      assert.equal((await troupe(client, 'logs two -c side', { streams })).out, 's\n');
      assert.equal(
        (await troupe(client, 'logs two --all-containers', { streams })).out,
        '[two main] m\n[two side] s\n',
      );
      assert.match(
        (await troupe(client, 'logs two -c third', { streams })).err,
        /pod\/two has no container "third"; it has main, side/,
      );
    });

    it('says why there is nothing to show', async () => {
      client.put('pods', aPod({ name: 'new' }));
      const waiting = {
        name: 'main',
        ready: false,
        restartCount: 0,
        image: 'x',
        imageID: '',
        state: { waiting: { reason: 'ErrImagePull', message: 'no such image' } },
      };
      client.put(
        'pods',
        aPod({ name: 'stuck', nodeName: 'n1', phase: 'Pending', status: { containerStatuses: [waiting] } }),
      );
      assert.match((await troupe(client, 'logs new', { streams })).err, /pod\/new has no node yet/);
      assert.match(
        (await troupe(client, 'logs stuck', { streams })).err,
        /has not started yet \(ErrImagePull: no such image\)/,
      );
      assert.match((await troupe(client, 'logs ghost', { streams })).err, /pods "ghost" not found/);
      client.put('pods', aPod({ name: 'lost', nodeName: 'n9' }));
      const lost = await troupe(client, 'logs lost', { streams });
      assert.equal(lost.code, 1);
      assert.match(
        lost.err,
        /the agent of node "n9" does not listen on the bus\n {2}to do: see how the node is: troupe get nodes/,
      );
    });

    for (const [line, says] of [
      ['logs', /name a pod, or give a selector/],
      ['logs web-1 -l app=web', /not both/],
      ['logs web-1 -f -p', /a run that has ended writes no more/],
      ['logs web-1 --since 5m --since-time 2026-01-01T00:00:00Z', /not both/],
      ['logs web-1 --since-time noon', /write it like 2026-01-31T12:00:00Z/],
      ['logs web-1 --since yesterday', /--since yesterday: not a duration/],
      ['logs node/n1', /name a pod, a replicationcontroller or a service/],
    ] as const) {
      it(`refuses "${line}"`, async () => {
        const said = await troupe(client, line, { streams });
        assert.equal(said.code, 2);
        assert.match(said.err, says);
      });
    }
  });

  describe('version and completion', () => {
    it('tells its version, and whether the apiserver answers', async () => {
      assert.match((await troupe(client, '--version')).out, /^\d+\.\d+\.\d+\n$/);
      assert.match(
        (await troupe(client, 'version')).out,
        /^troupe \d.*\napiserver at 127\.0\.0\.1:7400: answers, revision \d+\n$/,
      );
      client.position = () =>
        Promise.reject(
          new ApiError('ServiceUnavailable', 'No connection established. connect ECONNREFUSED 127.0.0.1:7400'),
        );
      const away = await troupe(client, 'version');
      assert.equal(away.code, 1);
      assert.equal(
        away.err,
        'error: the apiserver at 127.0.0.1:7400 cannot be reached (ECONNREFUSED)\n' +
          '  to do: start a cluster here with "troupe up", or name another with --server (now 127.0.0.1:7400)\n',
      );
      assert.equal((await troupe(client, 'version --client')).code, 0);
    });

    const complete = async (...words: string[]): Promise<string[]> =>
      (await troupe(client, ['__complete', '--', ...words])).out.split('\n').filter((line) => line !== '');

    it('completes commands, flags, kinds and names', async () => {
      client.put('pods', aPod({ name: 'web-1' }));
      client.put('pods', aPod({ name: 'web-2', namespace: 'shop' }));
      assert.deepEqual(await complete('de'), ['debug', 'delete', 'describe']);
      assert.deepEqual(await complete('get', 'po'), ['poddisruptionbudgets', 'pods', 'podtemplates']);
      assert.deepEqual(await complete('get', 'pods', ''), ['web-1']);
      assert.deepEqual(await complete('get', '-n', 'shop', 'pods', 'w'), ['web-2']);
      assert.deepEqual(await complete('describe', 'po/w'), ['po/web-1']);
      assert.deepEqual(await complete('logs', 'we'), ['web-1']);
      assert.deepEqual(await complete('exec', '-it', 'we'), ['web-1']);
      assert.deepEqual(await complete('port-forward', 'svc/'), []);
      assert.deepEqual(await complete('cp', '--no'), ['--no-color', '--no-preserve']);
      assert.deepEqual(await complete('get', 'pods', '-o', ''), ['json', 'name', 'table', 'wide', 'yaml']);
      assert.deepEqual(await complete('delete', '--gr'), ['--grace-period']);
      assert.deepEqual(await complete('scale', ''), ['deployments', 'replicasets', 'replicationcontrollers']);
      assert.deepEqual(await complete('proxies', 'ser'), ['service/']);
      assert.ok(!(await complete('')).some((word) => word.startsWith('_')));
    });

    it('says nothing where the server does not answer', async () => {
      client.list = () => Promise.reject(new ApiError('ServiceUnavailable', 'away'));
      assert.deepEqual(await troupe(client, ['__complete', '--', 'get', 'pods', '']), { code: 0, out: '', err: '' });
    });

    it('prints a script for each shell', async () => {
      for (const shell of ['bash', 'zsh', 'fish']) {
        assert.match((await troupe(client, `completion ${shell}`)).out, /troupe __complete --/);
      }
      assert.equal((await troupe(client, 'completion csh')).code, 2);
    });
  });
});

/** Streams into pods, as far as logs go; with `follow` they stay open after what has been written. */
function logsOnly(
  chunksOf: (name: string) => readonly string[],
  onRequest: (request: PodTarget & LogWish) => void,
): PodStreams {
  const none = (): never => {
    throw new Error('only logs are expected');
  };
  return {
    async *logs(target, wish, signal) {
      onRequest({ ...wish, ...target });
      for (const chunk of chunksOf(`${target.pod}/${target.container}`)) yield Buffer.from(chunk);
      if (target.pod === 'lost')
        throw new ApiError('ServiceUnavailable', 'the agent of node "n9" does not listen on the bus');
      if (wish.follow !== true || signal.aborted) return;
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      throw new ApiError('Timeout', 'the caller gave the call up');
    },
    ...{ exec: none, attach: none, connect: none, readFiles: none, writeFiles: none, close: () => undefined },
  };
}
