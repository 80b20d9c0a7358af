import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import {
  CoreV1Api,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  Metrics,
  PatchStrategy,
  PortForward,
  setHeaderOptions,
  Watch,
  type ApiException,
  type V1ConfigMap,
  type V1Status,
} from '@kubernetes/client-node';
import { until } from './until.ts';

const namespace = 'default';

/** What the official JavaScript library is used for, against a cluster with the pod `web` that echoes at port 8080 and says "ready" first. */
export function libraryCases(kubeconfig: () => string): void {
  let config: KubeConfig;
  let api: CoreV1Api;
  before(() => {
    config = new KubeConfig();
    config.loadFromFile(kubeconfig());
    api = config.makeApiClient(CoreV1Api);
  });

  it('makes, reads, lists, replaces, patches and deletes objects', async () => {
    const body = { metadata: { name: 'by-library', labels: { by: 'library' } }, data: { a: '1' } };
    const made = await api.createNamespacedConfigMap({ namespace, body });
    assert.ok(made.metadata?.uid);
    const replaced = await api.replaceNamespacedConfigMap({
      namespace,
      name: 'by-library',
      body: { ...made, data: { a: '2' } },
    });
    assert.deepEqual(replaced.data, { a: '2' });
    const options = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
    await api.patchNamespacedConfigMap({ namespace, name: 'by-library', body: { data: { b: '3' } } }, options);
    const jsonPatch = [{ op: 'replace', path: '/data/a', value: '4' }];
    await api.patchNamespacedConfigMap(
      { namespace, name: 'by-library', body: jsonPatch },
      setHeaderOptions('Content-Type', PatchStrategy.JsonPatch),
    );
    const read = await api.readNamespacedConfigMap({ namespace, name: 'by-library' });
    assert.deepEqual(read.data, { a: '4', b: '3' });
    const { items } = await api.listNamespacedConfigMap({ namespace, labelSelector: 'by=library' });
    assert.deepEqual(
      items.map(({ metadata }) => metadata?.name),
      ['by-library'],
    );
    await api.deleteNamespacedConfigMap({ namespace, name: 'by-library' });
    await assert.rejects(api.readNamespacedConfigMap({ namespace, name: 'by-library' }), (error) => {
      const { code, body: told } = error as ApiException<string | V1Status>;
      assert.equal(code, 404);
      assert.match(JSON.stringify(told), /NotFound/);
      return true;
    });
  });

  it('applies on the server what it knows by kind and name alone', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const spec = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data: { a: '1' } };
    const applied = await objects.patch<V1ConfigMap>(
      ...([spec, undefined, undefined, 'library', true, PatchStrategy.ServerSideApply] as const),
    );
    assert.equal(applied.metadata?.managedFields?.[0]?.manager, 'library');
    await objects.delete(spec);
  });

  it('watches, and keeps an informer', async () => {
    const seen: string[] = [];
    const watching = await new Watch(config).watch(
      `/api/v1/namespaces/${namespace}/configmaps`,
      { labelSelector: 'watched=yes' },
      (phase, object: V1ConfigMap) => seen.push(`${phase} ${object.metadata?.name}`),
      () => undefined,
    );
    const informed: string[] = [];
    const informer = makeInformer(
      config,
      `/api/v1/namespaces/${namespace}/configmaps`,
      () => api.listNamespacedConfigMap({ namespace, labelSelector: 'watched=yes' }),
      'watched=yes',
    );
    for (const event of ['add', 'update', 'delete'] as const)
      informer.on(event, (object: V1ConfigMap) =>
        informed.push(`${event} ${object.metadata?.name} ${object.data?.['a']}`),
      );
    await informer.start();
    const body = { metadata: { name: 'watched', labels: { watched: 'yes' } }, data: { a: '1' } };
    await api.createNamespacedConfigMap({ namespace, body });
    await until(() => informed.length >= 1, { what: 'the informer has it', timeoutMs: 15_000 });
    await api.replaceNamespacedConfigMap({ namespace, name: 'watched', body: { ...body, data: { a: '2' } } });
    await until(() => informed.length >= 2, { what: 'the informer has the change', timeoutMs: 15_000 });
    await api.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await until(() => seen.length >= 3 && informed.length >= 3, { what: 'both have the end', timeoutMs: 15_000 });
    assert.deepEqual(seen, ['ADDED watched', 'MODIFIED watched', 'DELETED watched']);
    assert.deepEqual(informed, ['add watched 1', 'update watched 2', 'delete watched 2']);
    await informer.stop();
    watching.abort();
  });

  it('reads logs', async () => {
    const out = collector();
    await new Log(config).log(namespace, 'web', 'main', out.stream, { tailLines: 1, follow: false });
    await until(() => out.text().endsWith('\n'), { what: 'a line', timeoutMs: 15_000 });
    assert.match(await api.readNamespacedPodLog({ namespace, name: 'web', limitBytes: 5 }), /^ready/);
  });

  it('runs commands, with input and an exit code', async () => {
    const [out, err] = [collector(), collector()];
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(config)
        .exec(
          namespace,
          'web',
          'main',
          ['sh', '-c', 'cat; echo err >&2; exit 5'],
          out.stream,
          err.stream,
          Readable.from([Buffer.from('in')]),
          false,
          resolve,
        )
        .catch(reject);
    });
    assert.equal(status.reason, 'NonZeroExitCode');
    assert.equal(status.details?.causes?.[0]?.message, '5');
    assert.deepEqual([out.text(), err.text()], ['in', 'err\n']);
  });

  it('forwards a port', async () => {
    const [out, err, input] = [collector(), collector(), new PassThrough()];
    const socket = await new PortForward(config).portForward(namespace, 'web', [8080], out.stream, err.stream, input);
    input.write('through the library');
    await until(() => out.text() === 'through the library', { what: 'the echo', timeoutMs: 15_000 });
    assert.equal(err.text(), '');
    if (typeof socket !== 'function') socket.close();
  });

  it('asks what is used', async () => {
    const { items } = await until(
      async () => {
        const list = await new Metrics(config).getNodeMetrics();
        return list.items.length > 0 ? list : undefined;
      },
      { what: 'figures of the node', timeoutMs: 20_000 },
    );
    assert.match(items[0]?.usage.cpu ?? '', /^\d+[nm]?$/);
  });
}

function collector(): { readonly stream: PassThrough; text(): string } {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (part: Buffer) => (text += part.toString()));
  return { stream, text: () => text };
}
