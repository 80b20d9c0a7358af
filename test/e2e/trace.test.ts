import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isReady } from '../../lib/api/pods.ts';
import { run } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { importBusybox, startDockerEngine, type DockerEngine } from '../support/docker-engine.ts';
import { HandStarted } from '../support/hand-started.ts';
import { until } from '../support/until.ts';

const manifest = `
apiVersion: v1
kind: ReplicationController
metadata: { name: traced }
spec:
  replicas: 1
  template:
    metadata: { labels: { app: traced } }
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{ name: app, image: "troupe-test/busybox:1", command: [/bin/busybox, sleep, "3600"] }]
`;

/** Spans as an OTLP/HTTP collector gets them: trace ids by the service that sent them. */
class Collector {
  readonly traces = new Map<string, Set<string>>();
  readonly #server: Server;
  readonly url: string;

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}/v1/traces`;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.#take(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Export);
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
    });
    this.#server.listen(port, '127.0.0.1');
  }
  static async start(): Promise<Collector> {
    return new Collector(await freePort());
  }
  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
  #take({ resourceSpans }: Export): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      const ids = this.traces.get(service) ?? new Set();
      for (const { spans } of scopeSpans) for (const { traceId } of spans) ids.add(traceId);
      this.traces.set(service, ids);
    }
  }
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly { readonly traceId: string }[] }[];
  }[];
}

describe('e2e/trace: one apply is one trace', function () {
  this.timeout(120_000);
  let engine: DockerEngine;
  let cluster: HandStarted;
  let collector: Collector;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-trace-'));

  before(async () => {
    engine = await startDockerEngine();
    await importBusybox(engine.docker);
    collector = await Collector.start();
    const otlp = ['--otlp', collector.url];
    cluster = await HandStarted.start({
      cluster: 'traced',
      parts: ['nats', 'apiserver', 'scheduler', 'replication-controller', 'node-controller', 'node-agent'],
      flags: {
        apiserver: otlp,
        scheduler: otlp,
        'replication-controller': otlp,
        'node-controller': ['--cluster-cidr', '10.216.0.0/16'],
        'node-agent': [
          ...otlp,
          '--docker-socket',
          engine.socketPath,
          '--cluster-cidr',
          '10.216.0.0/16',
          '--service-cidr',
          '10.217.0.0/16',
        ],
      },
    });
  });
  after(async () => {
    await cluster?.stop();
    await engine?.stop();
    collector?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('from the command line through the apiserver, the controller, the scheduler and the agent', async () => {
    const file = join(folder, 'rc.yaml');
    writeFileSync(file, manifest);
    const applied = await run(process.execPath, ['bin/troupe.js', 'apply', '-f', file, '--server', cluster.server]);
    assert.equal(applied.code, 0, applied.stderr);
    const client = cluster.client();
    try {
      const pod = await until(async () => (await client.list('pods')).items.find(isReady), {
        timeoutMs: 40_000,
        what: () => `the pod to be ready: ${cluster.log('node-agent').slice(-1_000)}`,
      });
      const rc = await client.get('replicationcontrollers', 'default/traced');
      const traceId = rc?.metadata.annotations?.['troupe.dev/traceparent']?.split('-')[1] ?? '';
      assert.match(traceId, /^[0-9a-f]{32}$/);
      assert.equal(
        pod.metadata.annotations?.['troupe.dev/traceparent']?.split('-')[1],
        traceId,
        'the pod carries the trace of its controller',
      );
      for (const service of ['apiserver', 'replication-controller', 'scheduler', 'node-agent']) {
        await until(() => collector.traces.get(`troupe-${service}`)?.has(traceId), {
          timeoutMs: 20_000,
          what: `a span of ${service} in the trace`,
        });
      }
      // Applying a change is a new trace.
      writeFileSync(file, manifest.replace('replicas: 1', 'replicas: 2'));
      await run(process.execPath, ['bin/troupe.js', 'apply', '-f', file, '--server', cluster.server]);
      const next = (await client.get('replicationcontrollers', 'default/traced'))?.metadata.annotations?.[
        'troupe.dev/traceparent'
      ]?.split('-')[1];
      assert.notEqual(next, traceId);
    } finally {
      client.close();
    }
  });
});
