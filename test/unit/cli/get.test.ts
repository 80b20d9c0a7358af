import assert from 'node:assert/strict';
import { aNode, anRc, aPod, aService } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe, type Said } from './run.ts';

describe('cli/get', () => {
  let client: FakeClient;
  beforeEach(() => {
    client = new FakeClient();
    client.put(
      'pods',
      aPod({ name: 'web-1', labels: { app: 'web', tier: 'front' }, nodeName: 'n1', ip: '10.244.0.5' }),
    );
    client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' } }));
    client.put('pods', aPod({ name: 'db-1', namespace: 'data', nodeName: 'n2', ip: '10.244.1.7', restarts: 3 }));
    client.put('services', aService({ name: 'web' }));
    client.put('replicationcontrollers', anRc({ name: 'web', replicas: 3 }));
    client.put('nodes', aNode({ name: 'n1' }));
  });

  const lines = (...wanted: string[]): string => wanted.map((line) => `${line}\n`).join('');
  const cases: { it: string; line: string; want: Partial<Said> }[] = [
    {
      it: 'shows a table',
      line: 'get pods',
      want: {
        code: 0,
        out: lines(
          'NAME    READY   STATUS    RESTARTS   AGE',
          'web-1   1/1     Running   0          5m',
          'web-2   0/1     Pending   0          5m',
        ),
      },
    },
    {
      it: 'shows more columns where asked',
      line: 'get po web-1 -o wide',
      want: {
        out: lines(
          'NAME    READY   STATUS    RESTARTS   AGE   IP           NODE   NOMINATED NODE   READINESS GATES',
          'web-1   1/1     Running   0          5m    10.244.0.5   n1     <none>           <none>',
        ),
      },
    },
    {
      it: 'shows the namespace where it looks in all',
      line: 'get pods -A --no-headers',
      want: {
        out: lines(
          'default   web-1   1/1   Running   0   5m',
          'default   web-2   0/1   Pending   0   5m',
          'data      db-1    1/1   Running   3   5m',
        ),
      },
    },
    {
      it: 'shows several kinds, each with its table',
      line: 'get rc,svc',
      want: {
        out: lines(
          'NAME                        DESIRED   CURRENT   READY   AGE',
          'replicationcontroller/web   3         0         0       5m',
          '',
          'NAME          TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE',
          'service/web   ClusterIP   10.96.0.20   <none>        80/TCP    5m',
        ),
      },
    },
    {
      it: 'takes kind/name pairs',
      line: 'get pod/web-1 svc/web -o name',
      want: { code: 0, out: lines('pod/web-1', 'service/web') },
    },
    { it: 'knows nodes as minions', line: 'get minions -o name', want: { code: 0, out: lines('node/n1') } },
    { it: 'selects by labels', line: 'get pods -l app=web,tier -o name', want: { out: lines('pod/web-1') } },
    {
      it: 'selects by fields',
      line: 'get pods --field-selector spec.nodeName=n1 -o name',
      want: { out: lines('pod/web-1') },
    },
    {
      it: 'shows labels as columns',
      line: 'get pods -L app,tier --show-labels --no-headers',
      want: {
        out: lines(
          'web-1   1/1   Running   0   5m   web   front   app=web,tier=front',
          'web-2   0/1   Pending   0   5m   web           app=web',
        ),
      },
    },
    {
      it: 'says that there is nothing, on standard error',
      line: 'get secrets',
      want: { code: 0, out: '', err: 'No resources found in default namespace.\n' },
    },
    {
      it: 'says so without a namespace where there is none',
      line: 'get leases -A',
      want: { code: 0, err: 'No resources found.\n' },
    },
    {
      it: 'shows what is there and fails for what is not',
      line: 'get pods web-1 ghost -o name',
      want: {
        code: 1,
        out: 'pod/web-1\n',
        err:
          'error: pods "ghost" not found in namespace "default"\n' +
          '  to do: look for its name with "troupe get", and in other namespaces with -A\n',
      },
    },
    {
      it: 'may be told that absence is fine',
      line: 'get pod ghost --ignore-not-found',
      want: { code: 0, out: '', err: '' },
    },
  ];
  for (const { it: title, line, want } of cases) {
    it(title, async () => {
      const said = await troupe(client, line);
      assert.deepEqual({ ...said, ...want }, said);
    });
  }

  it('takes && for a comma in selectors', async () => {
    const said = await troupe(client, ['get', 'pods', '-l', 'app==web && tier==front', '-o', 'name']);
    assert.equal(said.out, 'pod/web-1\n');
  });

  it('prints one object as itself and several as a List', async () => {
    const one = JSON.parse((await troupe(client, 'get pod web-1 -o json')).out) as { kind: string };
    assert.equal(one.kind, 'Pod');
    const many = JSON.parse((await troupe(client, 'get pods -o json')).out) as { kind: string; items: unknown[] };
    assert.equal(many.kind, 'List');
    assert.equal(many.items.length, 2);
    assert.match(
      (await troupe(client, 'get pod web-1 -o yaml')).out,
      /^apiVersion: v1\nkind: Pod\nmetadata:\n {2}name: web-1\n/,
    );
  });

  it('uses colour on a terminal, keeps the columns aligned, and obeys --no-color and NO_COLOR', async () => {
    const said = await troupe(client, 'get pods', { isTerminal: true });
    assert.match(said.out, /\x1b\[32mRunning\x1b\[39m {3}0/);
    assert.ok(!(await troupe(client, 'get pods --no-color', { isTerminal: true })).out.includes('\x1b'));
    assert.ok(!(await troupe(client, '--no-color get pods', { isTerminal: true })).out.includes('\x1b'));
    assert.ok(!(await troupe(client, 'get pods', { isTerminal: true, env: { NO_COLOR: '1' } })).out.includes('\x1b'));
  });

  it('takes the options of every command before the command too, and those after it win', async () => {
    assert.equal((await troupe(client, '-n data get pods -o name')).out, 'pod/db-1\n');
    assert.equal((await troupe(client, '-n default get pods -n data -o name')).out, 'pod/db-1\n');
    assert.equal((await troupe(client, 'get pods -o name', { env: { TROUPE_NAMESPACE: 'data' } })).out, 'pod/db-1\n');
  });

  const refused: { line: string; says: RegExp }[] = [
    { line: 'get', says: /missing required argument 'what'/ },
    { line: 'get gizmos', says: /there is no kind "gizmos"\. Kinds: .*pods \(po\)/ },
    {
      line: 'get pods -o xml',
      says: /-o xml: there is no such form of output; use one of table, wide, yaml, json, name/,
    },
    { line: 'get pods web-1 -l app=web', says: /give names or a selector \(-l\), not both/ },
    { line: 'get pod web-1 -A', says: /a name is in one namespace: use -n, not -A/ },
    { line: 'get pod/web-1 web', says: /"web": with kind\/name, every object is written so/ },
    { line: 'get pods --frobnicate', says: /unknown option '--frobnicate'/ },
    { line: 'gte pods', says: /unknown command 'gte'/ },
    { line: 'get pods,svc -w', says: /--watch follows one kind at a time/ },
    { line: 'get pods --request-timeout soon', says: /--request-timeout soon: not a duration/ },
  ];
  for (const { line, says } of refused) {
    it(`refuses "${line}" as misuse`, async () => {
      const said = await troupe(client, line);
      assert.equal(said.code, 2);
      assert.match(said.err, says);
      assert.match(said.err, /^error: /);
      assert.equal(said.out, '');
    });
  }

  describe('--watch', () => {
    it('prints what is there, then each change under the same columns, until Ctrl-C', async () => {
      const running = start(client, 'get pods -l app=web -w');
      await until(() => client.watching === 1, { what: 'the watch' });
      client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' }, nodeName: 'n1', ip: '10.244.0.6' }));
      client.put('pods', aPod({ name: 'other', labels: { app: 'db' } }));
      client.remove('pods', 'default/web-1');
      await until(() => running.out().split('\n').length > 5, { what: 'the changes' });
      running.interrupt();
      const said = await running.said;
      assert.equal(said.code, 0);
      assert.deepEqual(said.out.split('\n'), [
        'NAME    READY   STATUS    RESTARTS   AGE',
        'web-1   1/1     Running   0          5m',
        'web-2   0/1     Pending   0          5m',
        'web-2   1/1     Running   0          5m',
        'web-1   1/1     Running   0          5m',
        '',
      ]);
    });

    it('waits for an object that is not there yet', async () => {
      const running = start(client, 'get pod late -w -o name');
      await until(() => client.watching === 1, { what: 'the watch' });
      assert.match(running.err(), /pod\/late is not there yet/);
      client.put('pods', aPod({ name: 'late' }));
      await until(() => running.out() === 'pod/late\n', { what: 'the pod' });
      running.interrupt();
      assert.equal((await running.said).code, 0);
    });
  });
});
