import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { connect } from '@nats-io/transport-node';
import { parse } from 'yaml';
import { engineAt, ensureImage } from '../../examples/images/engine.ts';
import { websiteImage } from '../../examples/website-controller/images/website.ts';
import type { CustomObject } from '../../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import { TestCluster, type Said } from '../support/cluster.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { clientPrograms, runClient } from '../support/kubectl.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wdg], categories: [all]}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [size]
              properties:
                size: {type: integer, minimum: 1, description: How large the widget is.}
                color: {type: string, default: red}
                replicas: {type: integer}
            status: {type: object, properties: {replicas: {type: integer}}}
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
      additionalPrinterColumns:
        - {name: Size, type: integer, jsonPath: .spec.size}
`;
const widget = (size: number | string): string => `
apiVersion: example.com/v1
kind: Widget
metadata: {name: first}
spec: {size: ${size}}
`;
/** It waits for ever: no node is like that. */
const podOfWidget = (uid: string): object => ({
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: {
    ...{ name: 'of-first', labels: { app: 'widget' } },
    ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Widget', name: 'first', uid, controller: true }],
  },
  spec: { nodeSelector: { like: 'none' }, containers: [{ name: 'main', image: 'none:1' }] },
});

const gadgetDefinition = `
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {color: {type: string}, size: {type: integer, default: 7}}
      selectableFields: [{jsonPath: .spec.color}]
`;
const aGadget = (name: string, color: string): Draft<CustomObject> => ({
  ...{ apiVersion: 'example.com/v1', kind: 'Gadget' },
  metadata: { name, namespace: 'default', labels: { color } },
  spec: { color },
});

describe(`e2e/kubectl-kinds: kinds around the core${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let cluster: TestCluster;
  let kubectlFile: string;
  const home = mkdtempSync(join(tmpdir(), 'troupe-kinds-home-'));
  before(async function () {
    if (why !== undefined) this.skip();
    this.timeout(300_000);
    kubectlFile = clientPrograms().kubectl;
    cluster = await TestCluster.start(224);
  });
  after(async () => {
    await cluster?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const raw = (args: readonly string[], input?: string): Promise<Said> =>
    runClient(kubectlFile, args, { kubeconfig: cluster.kubeconfig, home, ...(input === undefined ? {} : { input }) });
  const kubectl = async (args: string, input?: string): Promise<string> => {
    const said = await raw(args.split(' '), input);
    assert.equal(said.code, 0, `kubectl ${args}\n${said.stdout}${said.stderr}`);
    return said.stdout;
  };
  const refused = async (args: string, input?: string): Promise<string> => {
    const said = await raw(args.split(' '), input);
    assert.notEqual(said.code, 0, `kubectl ${args} went well:\n${said.stdout}`);
    return said.stderr;
  };

  it('serves a kind that was just defined: apply, get, explain, scale, patch, watch on the bus, troupe, delete', async () => {
    const bus = await connect({ servers: cluster.nats });
    try {
      const told: string[] = [];
      const heard = bus.subscribe('e2e224.v1.widgets_example_com.>', {
        callback: (_error, message) => void told.push(message.headers?.get('ce-type') ?? ''),
      });
      await bus.flush();
      assert.match(await kubectl('apply -f -', definition), /widgets.example.com created/);
      await kubectl('wait --for=condition=Established crd/widgets.example.com --timeout=20s');
      assert.match(await refused('apply -f -', widget(0)), /spec.size in body should be greater than or equal to 1/);
      assert.match(await refused('apply -f -', widget('big')), /must be of type integer|unknown|invalid/i);
      assert.match(await kubectl('apply -f -', widget(3)), /widget.example.com\/first created/);
      assert.match(await kubectl('get wdg'), /^NAME\s+SIZE\nfirst\s+3/);
      assert.match(await kubectl('get all'), /widget.example.com\/first/);
      assert.equal(await kubectl('get widget first -o jsonpath={.spec.color}'), 'red');
      assert.match(await kubectl('explain widget.spec.size'), /How large the widget is/);
      await kubectl('patch widget first --type=merge -p {"spec":{"size":4}}');
      await kubectl('scale widget first --replicas=2');
      assert.equal(await kubectl('get widget first -o jsonpath={.spec.size}/{.spec.replicas}'), '4/2');
      const scaled = await cluster.troupe('scale', 'wdg/first', '--replicas', '3', '--current-replicas', '2');
      assert.equal(scaled.stdout, 'widget.example.com/first scaled from 2 to 3\n', scaled.stderr);
      assert.equal(await kubectl('get widget first -o jsonpath={.spec.replicas}'), '3');
      const uid = await kubectl('get widget first -o jsonpath={.metadata.uid}');
      await kubectl('create -f -', JSON.stringify(podOfWidget(uid)));
      await kubectl('create pdb widgets --selector=app=widget --max-unavailable=1');
      await until(async () => (await kubectl('get pdb widgets -o jsonpath={.status.expectedPods}')) === '3', {
        what: 'the budget counts by the scale of the widget',
      });
      await kubectl('delete pdb/widgets pod/of-first');
      assert.match(await kubectl('apply --server-side --force-conflicts -f -', widget(5)), /serverside-applied/);
      assert.match(await kubectl('diff -f -', widget(5)), /^$/);
      assert.match((await cluster.troupe('get', 'widgets')).stdout, /^NAME\s+SIZE\nfirst\s+5/);
      assert.match((await cluster.troupe('describe', 'widget/first')).stdout, /Color:\s+red/);
      assert.match(await kubectl('delete crd widgets.example.com'), /deleted/);
      // kubectl may still know the kind from its own cache.
      assert.match(await refused('get widgets'), /doesn't have a resource type "widgets"|could not find the requested/);
      await until(
        () => ['added', 'modified', 'deleted'].every((type) => told.some((each) => each.endsWith(`.${type}`))),
        {
          what: () => `all news on the bus: ${told.join(' ')}`,
        },
      );
      heard.unsubscribe();
    } finally {
      await bus.close();
    }
  });

  it('serves a kind on every door at once, with selectors and a watch on each', async () => {
    const client = cluster.client();
    const bus = await connect({ servers: cluster.nats });
    const stop = new AbortController();
    try {
      const took: string[] = [];
      let heard = false;
      bus.subscribe('e2e224.v1.gadgets_example_com.-.default.first', { callback: () => void (heard = true) });
      await bus.flush();
      const config = new KubeConfig();
      config.loadFromFile(cluster.kubeconfig);
      const rest = config.makeApiClient(CustomObjectsApi);
      const gadgets = { group: 'example.com', version: 'v1', namespace: 'default', plural: 'gadgets' };

      const begin = performance.now();
      const note = (door: string): void => void took.push(`${door} ${Math.round(performance.now() - begin)} ms`);
      await client.create('customresourcedefinitions', parse(gadgetDefinition) as Draft<CustomResourceDefinition>);
      note('defined');
      const made = await client.create('gadgets.example.com', aGadget('first', 'red'));
      note('gRPC');
      const read = (await rest.getNamespacedCustomObject({ ...gadgets, name: 'first' })) as typeof made;
      note('REST');
      await until(() => heard, { what: 'the object on the bus' });
      note('bus');
      const got = await cluster.troupe('get', 'gadgets');
      note('troupe, a process that starts');
      assert.equal(got.code, 0, got.stderr);
      assert.match(got.stdout, /^first\b/m);
      assert.equal(read.metadata.uid, made.metadata.uid);
      assert.equal((read as unknown as { spec: { size: number } }).spec.size, 7, 'the default of the schema');
      console.log(`      since the definition was sent: ${took.join(', ')}`);

      await client.create('gadgets.example.com', aGadget('second', 'blue'));
      const names = (items: readonly { metadata: { name: string } }[]): string =>
        items.map(({ metadata }) => metadata.name).join(' ');
      const fieldSelector = 'spec.color=blue';
      const labelSelector = 'color=blue';
      const { items, revision } = await client.list('gadgets.example.com', { fieldSelector });
      assert.equal(names(items), 'second');
      assert.equal(names((await client.list('gadgets.example.com', { labelSelector })).items), 'second');
      for (const selection of [{ fieldSelector }, { labelSelector }]) {
        const { items: overRest } = (await rest.listNamespacedCustomObject({ ...gadgets, ...selection })) as {
          items: (typeof made)[];
        };
        assert.equal(names(overRest), 'second');
      }
      for (const flag of [`--field-selector=${fieldSelector}`, `-l${labelSelector}`]) {
        assert.equal(
          (await cluster.troupe('get', 'gadgets', flag, '-o', 'name')).stdout.trim().split('/')[1],
          'second',
        );
      }
      await client.create('gadgets.example.com', aGadget('third', 'red'));
      await client.create('gadgets.example.com', aGadget('fourth', 'blue'));
      for await (const events of client.watch(
        'gadgets.example.com',
        { fieldSelector, fromRevision: revision },
        stop.signal,
      )) {
        const told = events.flatMap(({ object }) => (object === undefined ? [] : [object]));
        if (told.length === 0) continue;
        assert.equal(names(told), 'fourth');
        break;
      }
      await kubectl('delete crd gadgets.example.com');
    } finally {
      stop.abort();
      client.close();
      await bus.close();
    }
  });

  it('keeps Websites by a controller of a user, in two copies, as its README says', async function () {
    this.timeout(240_000);
    const folder = 'examples/website-controller';
    await ensureImage(engineAt(cluster.dockerSocket), await websiteImage());
    await kubectl(`apply -f ${folder}/crd.yaml`);
    const [first, second] = [new Copy(cluster.kubeconfig), new Copy(cluster.kubeconfig)];
    try {
      const both = (): string => `${first.said}\n${second.said}`;
      const ready = (count: number): Promise<boolean> =>
        until(async () => (await kubectl(of('site', '{.status.readyReplicas}'))) === String(count), {
          ...{ timeoutMs: 60_000, everyMs: 250, what: () => `${count} pods of the site to be ready: ${both()}` },
        });
      const of = (kind: string, path: string): string => `get ${kind} welcome --ignore-not-found -o jsonpath=${path}`;
      await kubectl(`apply -f ${folder}/website.yaml`);
      await ready(2);
      const address = await kubectl(of('service', '{.spec.clusterIP}'));
      const listed = await kubectl('get websites --field-selector spec.image=troupe/website:1');
      assert.match(
        listed,
        new RegExp(`^NAME +WANTED +READY +ADDRESS\nwelcome +2 +2 +${address.replaceAll('.', '\\.')}\n`),
      );
      const untagged = JSON.stringify({ spec: { image: 'troupe/website' } });
      const { stderr } = await raw(['patch', 'site', 'welcome', '--type=merge', '-p', untagged]);
      assert.match(stderr, /spec\.image: Invalid value: "object": copies of a site are alike only where/);
      await first.kill();
      await kubectl('scale site/welcome --replicas=3');
      await ready(3);
      const uid = await kubectl(of('deployment', '{.metadata.uid}'));
      await kubectl('delete deployment welcome --wait=false');
      await until(async () => ![uid, ''].includes(await kubectl(of('deployment', '{.metadata.uid}'))), {
        ...{ timeoutMs: 60_000, everyMs: 250, what: () => `another Deployment: ${both()}` },
      });
      await kubectl('delete site welcome');
      await until(async () => (await kubectl('get deployments,services -l example.com/website=welcome')) === '', {
        ...{ timeoutMs: 60_000, everyMs: 250, what: 'what the site owned to be removed' },
      });
    } finally {
      await Promise.all([first.kill(), second.kill()]);
    }
    await kubectl('delete crd websites.example.com');
  });

  it('holds a namespace to its quota and its limits, and shows both', async () => {
    await kubectl('create namespace shop');
    await kubectl('create quota few -n shop --hard=configmaps=3,pods=1');
    await until(async () => /configmaps: \d+\/3/.test(await kubectl('get quota few -n shop')), {
      what: 'what is used',
    });
    for (let i = 0; ; i++) {
      const said = await raw(['create', 'configmap', `c${i}`, '-n', 'shop']);
      if (said.code === 0 && i < 3) continue;
      assert.match(
        said.stderr,
        /exceeded quota: few, requested: configmaps=1, used: configmaps=3, limited: configmaps=3/,
      );
      break;
    }
    await until(async () => /configmaps\s+3\s+3/.test(await kubectl('describe quota few -n shop')), {
      ...{ what: 'all that is used', everyMs: 200 },
    });
    const limits = JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'small', namespace: 'shop' } },
      spec: { limits: [{ type: 'Container', max: { cpu: '1' }, default: { cpu: '200m' } }] },
    });
    await kubectl('create -f -', limits);
    assert.match(await kubectl('describe limits small -n shop'), /Container\s+cpu\s+-\s+1\s+200m\s+200m/);
    const dry = 'run p --image=x -n shop --dry-run=server -o jsonpath={.spec.containers[0].resources.requests.cpu}';
    assert.equal(await kubectl(dry), '200m');
  });

  it('keeps roles, priorities and slices, and says what is not enforced', async () => {
    const said = await raw(['create', 'role', 'reader', '--verb=get', '--resource=pods']);
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stderr, /Warning: Role: rules of access are kept and shown, but not enforced yet/);
    await kubectl('create rolebinding readers --role=reader --user=jane');
    assert.match(await kubectl('get rolebindings -o wide'), /readers\s+Role\/reader\s+\S+\s+jane/);
    await kubectl('create clusterrole all --verb=* --resource=*');
    await kubectl('create priorityclass high --value=1000');
    assert.match(await kubectl('get pc'), /high\s+1000\s+false/);
    const byHand = { apiVersion: 'v1', metadata: { name: 'by-hand' } };
    await kubectl('create -f -', JSON.stringify({ ...byHand, kind: 'Service', spec: { ports: [{ port: 80 }] } }));
    const subsets = [{ addresses: [{ ip: '192.0.2.7' }], ports: [{ port: 80 }] }];
    await kubectl('create -f -', JSON.stringify({ ...byHand, kind: 'Endpoints', subsets }));
    const slices = 'get endpointslices -l kubernetes.io/service-name=by-hand';
    await until(async () => /by-hand-\S+\s+IPv4\s+80\s+192\.0\.2\.7/.test(await kubectl(slices)), {
      what: 'the slice of a Service',
    });
    assert.match(await kubectl('get apiservices'), /v1.apiextensions.k8s.io\s+Local\s+True/);
    assert.match(await kubectl('get componentstatuses'), /scheduler\s+Healthy\s+ok/);
    assert.match(await refused('get ingresses'), /doesn't have a resource type/);
  });
});

/** The controller of examples/website-controller as a process, ended with SIGKILL only. */
class Copy {
  readonly #child: ChildProcess;
  said = '';

  constructor(kubeconfig: string) {
    this.#child = spawn(process.execPath, ['--import=tsx', 'examples/website-controller/main.ts'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.on('data', (chunk: Buffer) => (this.said = (this.said + chunk.toString()).slice(-4_000)));
    }
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
