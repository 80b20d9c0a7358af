import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { trace, type Meter, type Tracer } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import type { Log } from './log.ts';
import { carryTraces } from './trace.ts';

/** What a process tells about itself: metrics, traces, health. */
export interface Telemetry {
  readonly meter: Meter;
  readonly tracer: Tracer;
  /** Registers a readiness check: undefined when ready, else one sentence that says why not. */
  ready(name: string, check: () => string | undefined): void;
  /**
   * Adds text in the form of Prometheus to /metrics, made anew for each reader: for figures of many things that come and go, which
   * would be dear as instruments of the meter. The text ends with a line break.
   */
  expose(text: () => Promise<string>): void;
  /** The reasons why the process is not ready now; empty when it is. */
  notReady(): readonly string[];
  /** Every readiness check by its name, and why it fails where it does. */
  checks(): readonly ReadinessCheck[];
  /** What /metrics tells, for another door that shows it too. */
  metrics(): Promise<string>;
  /** Where /metrics, /healthz, /livez and /readyz are served, once listening; undefined when switched off. */
  readonly address: string | undefined;
  close(): Promise<void>;
}

export interface ReadinessCheck {
  readonly name: string;
  /** One sentence; undefined when all is well. */
  readonly why: string | undefined;
}

export interface TelemetryOptions {
  readonly service: string;
  /** `host:port` for the HTTP endpoint, port 0 for a free one; empty: none. */
  readonly listen: string;
  /** OTLP/HTTP endpoint for spans; empty: spans are not exported (contexts still travel). */
  readonly otlp: string;
  readonly log: Log;
}

/** Starts the endpoint and the providers. Rejects when the address is taken or not ours. */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { service, log } = options;
  carryTraces();
  const resource = resourceFromAttributes({ 'service.name': `troupe-${service}` });
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({ resource, readers: [exporter] });
  const meter = provider.getMeter('troupe');
  observeProcess(meter);
  const stopTracing = options.otlp === '' ? undefined : await exportSpans(options.otlp, service);

  const checks = new Map<string, () => string | undefined>();
  const checked = (): readonly ReadinessCheck[] => [...checks].map(([name, check]) => ({ name, why: check() }));
  const notReady = (): readonly string[] =>
    checked().flatMap(({ name, why }) => (why === undefined ? [] : [`${name}: ${why}`]));
  const serializer = new PrometheusSerializer(undefined, false, undefined, true);
  const exposed: (() => Promise<string>)[] = [];
  const server = options.listen === '' ? undefined : await listen(options.listen, answer);

  async function metrics(): Promise<string> {
    const [{ resourceMetrics }, more] = await Promise.all([
      exporter.collect(),
      Promise.all(exposed.map((text) => text())),
    ]);
    return serializer.serialize(resourceMetrics) + more.join('');
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0];
    if (path === '/metrics')
      return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(await metrics());
    if (path === '/healthz' || path === '/livez') return void response.writeHead(200).end('ok\n');
    if (path === '/readyz') {
      const reasons = notReady();
      return void response
        .writeHead(reasons.length === 0 ? 200 : 503)
        .end(reasons.length === 0 ? 'ok\n' : reasons.join('\n') + '\n');
    }
    response.writeHead(404).end('try /metrics, /healthz, /livez or /readyz\n');
  }

  const address = server === undefined ? undefined : addressOf(server);
  if (address !== undefined) log.debug({ address }, 'telemetry listening');
  return {
    meter,
    tracer: trace.getTracer('troupe'),
    ready: (name, check) => void checks.set(name, check),
    expose: (text) => void exposed.push(text),
    notReady,
    checks: checked,
    metrics,
    address,
    async close() {
      server?.closeAllConnections();
      await new Promise<void>((resolve) =>
        server === undefined
          ? resolve()
          : server.close(() => {
              resolve();
            }),
      );
      await stopTracing?.();
      await provider.shutdown();
    },
  };
}

function listen(address: string, answer: (q: IncomingMessage, a: ServerResponse) => Promise<void>): Promise<Server> {
  const { host, port } = splitAddress(address);
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`the telemetry address ${address} is taken by another process; choose another with --telemetry`)
          : error,
      );
    });
    server.listen(port, host, () => {
      resolve(server);
    });
  });
}

const addressOf = (server: Server): string => {
  const { address, port } = server.address() as AddressInfo;
  return `${address}:${port}`;
};

/** `host:port` in its parts. Throws an Error with a sentence when it is not of that form. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`"${address}" is not an address; write host:port, such as 127.0.0.1:7400`);
  }
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port };
}

async function exportSpans(endpoint: string, service: string): Promise<() => Promise<void>> {
  // Loaded only when asked for: the SDK costs memory and start time.
  const [{ BasicTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]);
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': `troupe-${service}` }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
  });
  trace.setGlobalTracerProvider(provider);
  return () => provider.shutdown();
}

/** Names of the OpenTelemetry and Prometheus conventions for processes. */
function observeProcess(meter: Meter): void {
  // Each sample wakes the process: often enough to see a busy loop, seldom enough that an idle one sleeps.
  const delay = monitorEventLoopDelay({ resolution: 500 });
  delay.enable();
  meter
    .createObservableGauge('process_resident_memory_bytes', { description: 'Resident memory' })
    .addCallback((result) => {
      result.observe(process.memoryUsage.rss());
    });
  meter
    .createObservableCounter('process_cpu_seconds', { description: 'CPU time, user and system' })
    .addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe((user + system) / 1e6);
    });
  meter
    .createObservableGauge('nodejs_eventloop_delay_p99_seconds', {
      description: 'Event loop delay, 99th percentile since the last reading',
    })
    .addCallback((result) => {
      result.observe(delay.percentile(99) / 1e9);
      delay.reset();
    });
}
