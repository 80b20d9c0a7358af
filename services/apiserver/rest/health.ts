import type { ReadinessCheck } from '../../../lib/base/telemetry.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { jsonReply, type RestReply, type RestRequest } from './message.ts';
import { flag } from './query.ts';
import { serverVersion } from './version.ts';

export interface HealthParts {
  /** What has to be well for requests to be answered well. */
  readonly checks: () => readonly ReadinessCheck[];
  /** What the process counts, in the form of Prometheus; absent: it is told nowhere here. */
  readonly metrics?: () => Promise<string>;
}

const doors = ['livez', 'healthz', 'readyz'] as const;

/**
 * What everybody may ask of the server (Kubernetes API health endpoints): its version, and how it is. `/readyz/<check>` asks one check,
 * `?verbose` shows all, `?exclude=<check>` passes over one. A process that answers is alive. Undefined for a path that asks something else.
 */
export function aboutServer({ checks }: HealthParts, { path, query }: RestRequest): RestReply | undefined {
  const [door, only, ...rest] = path.slice(1).split('/');
  if (door === 'version' && (only ?? '') === '') return jsonReply(serverVersion);
  const asked = doors.find((each) => each === door);
  if (asked === undefined || rest.length > 0) return undefined;
  const all = [{ name: 'ping', why: undefined }, ...(asked === 'readyz' ? checks() : [])];
  const excluded = new Set(query.getAll('exclude'));
  const some = all.filter(({ name }) => (only === undefined || only === '' ? !excluded.has(name) : name === only));
  if (some.length === 0)
    throw new ApiError(
      'NotFound',
      `no check ${JSON.stringify(only ?? '')}; there are ${all.map(({ name }) => name).join(', ')}`,
    );
  const bad = some.filter(({ why }) => why !== undefined);
  const status = bad.length === 0 ? 200 : 500;
  const isVerbose = query.has('verbose') && flag(query, 'verbose');
  if (!isVerbose)
    return text(bad.length === 0 ? 'ok' : bad.map(({ name, why }) => `${name}: ${why ?? ''}`).join('\n'), status);
  const lines = some.map(({ name, why }) => (why === undefined ? `[+]${name} ok` : `[-]${name} failed: ${why}`));
  return text(`${lines.join('\n')}\n${asked} check ${bad.length === 0 ? 'passed' : 'failed'}\n`, status);
}

/** What those may ask of the server whom it knows: its figures, and what else there is to ask. */
export async function aboutServerInside(
  { metrics }: HealthParts,
  { path }: RestRequest,
  paths: () => readonly string[],
): Promise<RestReply | undefined> {
  if (path === '/') return jsonReply({ paths: paths() });
  if (path !== '/metrics' || metrics === undefined) return undefined;
  return { status: 200, type: 'text/plain; version=0.0.4', body: Buffer.from(await metrics()) };
}

const text = (body: string, status = 200): RestReply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: Buffer.from(body),
});
