import type { UsageSource } from '../usage/usage.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { jsonReply, type RestReply, type RestRequest } from './message.ts';
import type { ResourcePath } from './path.ts';
import { selectionIn } from './query.ts';

export const metricsGroup = { group: 'metrics.k8s.io', version: 'v1beta1' } as const;
const apiVersion = `${metricsGroup.group}/${metricsGroup.version}`;

/** What pods and nodes use now (metrics.k8s.io), asked of the nodes; those that do not answer are left out, with a warning. */
export async function onMetrics(usage: UsageSource, at: ResourcePath, request: RestRequest): Promise<RestReply> {
  const { resource, namespace, name } = at;
  if (request.method !== 'GET')
    throw new ApiError('MethodNotAllowed', `${request.method} is not served for ${resource} of ${apiVersion}`);
  if (resource !== 'pods' && resource !== 'nodes')
    throw new ApiError('NotFound', 'the server could not find the requested resource', { resource });
  const selection = selectionIn(request.query, resource, namespace);
  const question = { ...selection, ...(name === undefined ? {} : { name }) };
  const { items, silent } = await (resource === 'pods' ? usage.pods(question) : usage.nodes(question));
  const kind = resource === 'pods' ? 'PodMetrics' : 'NodeMetrics';
  const warnings = silent.map(({ node, message }) => `node ${node} did not answer: ${message}`);
  const [only] = items;
  if (name !== undefined && only === undefined)
    throw new ApiError(
      'NotFound',
      `${kind.toLowerCase()} "${name}" not found: there are no figures of it${silent.length === 0 ? ' yet' : `, since ${warnings.join('; ')}`}`,
      { resource, name },
    );
  const whole =
    name !== undefined ? { kind, apiVersion, ...only } : { kind: `${kind}List`, apiVersion, metadata: {}, items };
  return { ...jsonReply(whole), warnings };
}
