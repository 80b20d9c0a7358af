import {
  isAbsent,
  isObject,
  listAt,
  objectAt,
  objectsAt,
  sameJson,
  textAt,
  type Json,
  type MutableJson,
} from '../json.ts';

/** Whether nodes open a port for each port of the Service. */
export const usesNodePorts = (spec: Json): boolean =>
  spec['type'] === 'NodePort' || (spec['type'] === 'LoadBalancer' && spec['allocateLoadBalancerNodePorts'] !== false);

/** Whether a balancer has to ask each node if it has endpoints of its own. */
export const usesHealthCheckPort = (spec: Json): boolean =>
  spec['type'] === 'LoadBalancer' && spec['externalTrafficPolicy'] === 'Local';

/** Whether it can be reached from outside the cluster, so that the external traffic policy means something. */
export const isExternal = (spec: Json): boolean =>
  spec['type'] === 'NodePort' ||
  spec['type'] === 'LoadBalancer' ||
  (spec['type'] !== 'ExternalName' && listAt(spec, 'externalIPs').length > 0);

const onlyOfName = ['externalName'];
const onlyOfAddress = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy'];
const onlyOfBalancer = [
  'allocateLoadBalancerNodePorts',
  'loadBalancerClass',
  'loadBalancerIP',
  'loadBalancerSourceRanges',
];

/**
 * An update that changes what a Service is need not say that it gives up what only the former shape had: addresses when it
 * becomes a mere name, node ports when nodes no longer open any, what only load balancers have. Only what is still as it
 * was stored is taken for meant so, in place; validation names the rest. Call it before `applyDefaults`.
 */
export function dropOutgrown(next: MutableJson, previous: Json): void {
  const given = next['spec'];
  if (!isObject(given)) return;
  const before = objectAt(previous, 'spec');
  const spec: MutableJson = { ...given };
  const type = textAt(spec, 'type') === '' ? 'ClusterIP' : textAt(spec, 'type');
  spec['type'] = type;
  const drop = (fields: readonly string[]): void => {
    for (const field of fields) if (sameJson(spec[field], before[field])) delete spec[field];
  };
  if (type === 'ExternalName') drop(onlyOfAddress);
  else drop(before['type'] === 'ExternalName' ? onlyOfName : []);
  if (type !== 'LoadBalancer') drop(onlyOfBalancer);
  if (!isExternal(spec)) drop(['externalTrafficPolicy']);
  if (!usesHealthCheckPort(spec)) drop(['healthCheckNodePort']);
  if (type === 'ClusterIP' || type === 'ExternalName') dropNodePorts(spec, before);
  next['spec'] = spec;
  if (type !== 'LoadBalancer') dropIngress(next);
}

function dropNodePorts(spec: MutableJson, before: Json): void {
  if (!Array.isArray(spec['ports'])) return;
  const assigned = new Set(objectsAt(before, 'ports').map((port) => port['nodePort']));
  spec['ports'] = spec['ports'].map((port: unknown) => {
    if (!isObject(port) || isAbsent(port['nodePort']) || !assigned.has(port['nodePort'])) return port;
    const { nodePort: _, ...rest } = port;
    return rest;
  });
}

/** What no balancer serves any more must not be told to anybody. */
function dropIngress(next: MutableJson): void {
  const status = objectAt(next, 'status');
  if (listAt(objectAt(status, 'loadBalancer'), 'ingress').length === 0) return;
  next['status'] = { ...status, loadBalancer: {} };
}
