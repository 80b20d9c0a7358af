import { request } from 'node:http';
import { selectorOfLabelSelector } from '../../../lib/api/labels.ts';
import type { MetricIdentifier, Pod } from '../../../lib/api/objects.ts';
import { isActive } from '../../../lib/api/pods.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import { eachAtMost } from '../../../lib/base/parallel.ts';
import type { Figure, Figures } from '../group.ts';
import { readMetric } from './exposition.ts';
import type { Rates } from './rates.ts';

/** Where a pod tells its metrics: annotations of the pod. */
export const portAnnotation = 'troupe.dev/metrics-port';
export const pathAnnotation = 'troupe.dev/metrics-path';
const usualPath = '/metrics';

/** Pods asked at one time. */
const width = 32;
const mostBytes = 1 << 20;

export interface Scraping {
  readonly clock: Clock;
  readonly rates: Rates;
  readonly timeoutMs: number;
  /** The text at a URL; rejects after the deadline, and where it is too long or no success. */
  readonly fetchText?: (url: string, timeoutMs: number) => Promise<string>;
}

export interface Scraped {
  readonly figures: Figures;
  /** Why one of the pods without a figure has none; undefined where all have. */
  readonly why: string | undefined;
}

/** Asks each pod that runs for a metric. Counters become rates a second. */
export async function scrape(
  pods: readonly Pod[],
  metric: MetricIdentifier,
  { clock, rates, timeoutMs, fetchText = httpText }: Scraping,
): Promise<Scraped> {
  const figures = new Map<string, Figure>();
  let why: string | undefined;
  const selector = selectorOfLabelSelector(metric.selector ?? {});
  await eachAtMost(width, pods.filter(isActive), async (pod) => {
    const url = urlOf(pod);
    if (typeof url !== 'string') {
      why ??= `pod ${pod.metadata.name} ${url.wrong}`;
      return;
    }
    try {
      const told = readMetric(await fetchText(url, timeoutMs), metric.name, selector);
      if (told === undefined) throw new Error(`it says nothing of ${metric.name}`);
      const value = told.counter ? rateOf(pod, metric, told.value) : told.value;
      if (value === undefined) throw new Error(`${metric.name} is a counter, and was read once so far`);
      figures.set(pod.metadata.uid, { value, atMs: clock.now(), windowMs: 0 });
    } catch (error) {
      why ??= `pod ${pod.metadata.name}, ${url}: ${messageOf(error)}`;
    }
  });
  return { figures, why };

  function rateOf(pod: Pod, { name, selector: labels = {} }: MetricIdentifier, total: number): number | undefined {
    const counter = `${pod.metadata.uid} ${name} ${JSON.stringify(labels)}`;
    rates.read(counter, total, clock.monotonic());
    return rates.rate(counter, clock.monotonic());
  }
}

function urlOf({ metadata: { annotations = {} }, status }: Pod): string | { readonly wrong: string } {
  const text = annotations[portAnnotation];
  if (text === undefined) return { wrong: `does not say in ${portAnnotation} where its metrics are` };
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    return { wrong: `says ${JSON.stringify(text)} in ${portAnnotation}, which is no port` };
  const path = annotations[pathAnnotation] ?? usualPath;
  if (!/^\/[!-~]{0,1024}$/.test(path)) return { wrong: `says a path in ${pathAnnotation} that does not begin with /` };
  if (status.podIP === undefined || status.podIP === '') return { wrong: 'has no address yet' };
  return `http://${status.podIP}:${port}${path}`;
}

/** No redirect is followed: a pod speaks for itself alone. */
function httpText(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const late = new Error(`no whole answer within ${timeoutMs} ms`);
    const call = request(url, { agent: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > mostBytes) call.destroy(new Error(`it says more than ${mostBytes} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', (error) => reject(signal.aborted ? late : error));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new Error(`it answers ${response.statusCode}`));
      });
    });
    call.on('error', (error) => reject(signal.aborted ? late : error));
    call.end();
  });
}
