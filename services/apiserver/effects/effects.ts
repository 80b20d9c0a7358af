import type { EffectsReply, EffectState } from '../../../lib/api/effects.ts';
import { makeKey, type Key } from '../../../lib/api/keys.ts';
import { ApiError, notFound } from '../../../lib/base/errors.ts';
import type { Registry } from '../registry/registry.ts';

/** Asks every proxy and DNS server. Resolves to those that answered in time. */
export type AskAll = (
  service: Key | undefined,
  nodes: ReadonlySet<string>,
  timeoutMs: number,
) => Promise<readonly EffectState[]>;

export interface EffectsAsked {
  readonly service?: { readonly namespace: string; readonly name: string };
  readonly timeoutMs?: number;
}

const defaultMs = 1_000;
const mostMs = 5_000;

/**
 * What is in effect everywhere, put together from what proxies and DNS servers answer. Nothing is kept. A node whose proxy does not
 * answer is named, with what its Ready condition says: a node that is lost and a proxy that is stuck are mended differently.
 */
export function newEffects(
  registry: Registry,
  ask: AskAll | undefined,
): (asked: EffectsAsked) => Promise<EffectsReply> {
  const revisionOf = async (resource: string, key: Key): Promise<string | undefined> =>
    (await registry.get(resource, key))?.revision.toString();

  return async ({ service, timeoutMs = defaultMs }) => {
    if (ask === undefined)
      throw new ApiError(
        'ServiceUnavailable',
        'this apiserver works without a bus, over which proxies and DNS servers are asked (--nats)',
      );
    const key = service === undefined ? undefined : makeKey(service.namespace, service.name);
    const { items } = await registry.list('nodes', {});
    const nodes = new Map(items.map(({ json }) => nodeIn(json)));
    const revisions =
      key === undefined ? [] : await Promise.all([revisionOf('services', key), revisionOf('endpoints', key)]);
    const [serviceRevision, endpointsRevision = ''] = revisions;
    if (service !== undefined && serviceRevision === undefined) throw notFound('services', service.name);
    const waitMs = Math.min(Math.max(timeoutMs, 1), mostMs);
    const states = await ask(key, new Set(nodes.keys()), waitMs);
    const heard = new Set(states.filter(({ part }) => part === 'proxy').map(({ node }) => node));
    const silent = [...nodes].filter(([node]) => !heard.has(node));
    return {
      ...(serviceRevision === undefined ? {} : { serviceRevision, endpointsRevision }),
      states: states.toSorted((a, b) => order(a).localeCompare(order(b))),
      silent: silent
        .map(([node, ready]) => ({ node, message: `no answer of a proxy within ${waitMs} ms; node ${ready}` }))
        .sort((a, b) => (a.node < b.node ? -1 : 1)),
    };
  };
}

/** Proxies first, by node. */
const order = ({ part, node, instance }: EffectState): string =>
  `${part === 'proxy' ? 0 : 1} ${part} ${node} ${instance}`;

function nodeIn(json: Buffer): readonly [name: string, ready: string] {
  const { metadata, status } = JSON.parse(json.toString('utf8')) as {
    readonly metadata: { readonly name: string };
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return [metadata.name, ready === 'True' ? 'is ready' : `is not ready (${ready ?? 'it never was'})`];
}
