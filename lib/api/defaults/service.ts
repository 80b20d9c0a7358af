import { asText, isAbsent, type Json, listAt, objectAt, objectsAt, textAt, type MutableJson } from '../json.ts';
import { each, ensured, fill, fillCount, fillText, inside } from './fill.ts';
import { isExternal, usesHealthCheckPort, usesNodePorts } from './service-type.ts';

/** Three hours: how long a client stays with its pod under ClientIP affinity. */
const affinitySeconds = 10_800;

export function defaultService(service: MutableJson): void {
  const status = ensured(service, 'status');
  if (status !== undefined) fill(status, 'loadBalancer', {});
  const spec = ensured(service, 'spec');
  if (spec === undefined) return;
  fillText(spec, 'type', 'ClusterIP');
  fillText(spec, 'sessionAffinity', 'None');
  defaultAffinity(spec);
  for (const port of each(spec, 'ports')) {
    fillText(port, 'protocol', 'TCP');
    if (isAbsent(port['targetPort']) || port['targetPort'] === 0 || port['targetPort'] === '') {
      if (typeof port['port'] === 'number') port['targetPort'] = port['port'];
    }
  }
  if (spec['type'] !== 'ExternalName') defaultAddresses(spec);
  if (spec['type'] === 'LoadBalancer') fill(spec, 'allocateLoadBalancerNodePorts', true);
  for (const ingress of each(status === undefined ? {} : (inside(status, 'loadBalancer') ?? {}), 'ingress'))
    if (asText(ingress['ip']) !== '') fillText(ingress, 'ipMode', 'VIP');
}

function defaultAffinity(spec: MutableJson): void {
  if (spec['sessionAffinity'] === 'None') delete spec['sessionAffinityConfig'];
  if (spec['sessionAffinity'] !== 'ClientIP') return;
  const config = ensured(spec, 'sessionAffinityConfig');
  const clientIP = config === undefined ? undefined : ensured(config, 'clientIP');
  if (clientIP !== undefined) fillCount(clientIP, 'timeoutSeconds', affinitySeconds);
}

/** `clusterIP` and the first of `clusterIPs` are the same; the address itself is the allocator's business. */
function defaultAddresses(spec: MutableJson): void {
  const [first] = listAt(spec, 'clusterIPs');
  if (asText(spec['clusterIP']) === '' && typeof first === 'string' && first !== '') spec['clusterIP'] = first;
  if (asText(spec['clusterIP']) !== '' && listAt(spec, 'clusterIPs').length === 0)
    spec['clusterIPs'] = [spec['clusterIP']];
  if (isExternal(spec)) fillText(spec, 'externalTrafficPolicy', 'Cluster');
  fillText(spec, 'internalTrafficPolicy', 'Cluster');
  fill(spec, 'ipFamilies', ['IPv4']);
  fillText(spec, 'ipFamilyPolicy', 'SingleStack');
}

/**
 * An update that leaves out the addresses and node ports which the cluster chose keeps them, as long as its type has such.
 * One that asks a balancer for no node ports (`allocateLoadBalancerNodePorts: false`) keeps those that it names.
 */
export function keepServiceAllocations(next: MutableJson, previous: Json): void {
  const spec = inside(next, 'spec');
  const before = objectAt(previous, 'spec');
  if (spec === undefined || spec['type'] === 'ExternalName') return;
  keepAddress(spec, before);
  if (usesNodePorts(spec)) keepNodePorts(spec, before);
  const health = before['healthCheckNodePort'];
  if (usesHealthCheckPort(spec) && typeof health === 'number') fillCount(spec, 'healthCheckNodePort', health);
}

function keepAddress(spec: MutableJson, before: Json): void {
  const address = textAt(before, 'clusterIP');
  if (address === '' || asText(spec['clusterIP']) !== '' || listAt(spec, 'clusterIPs').length > 0) return;
  spec['clusterIP'] = address;
  spec['clusterIPs'] = [...listAt(before, 'clusterIPs')];
}

function keepNodePorts(spec: MutableJson, before: Json): void {
  const taken = new Set(each(spec, 'ports').map((port) => port['nodePort']));
  for (const port of each(spec, 'ports')) {
    if (!isAbsent(port['nodePort']) && port['nodePort'] !== 0) continue;
    const same = samePort(port, before);
    if (same === undefined || isAbsent(same['nodePort']) || taken.has(same['nodePort'])) continue;
    port['nodePort'] = same['nodePort'];
  }
}

const samePort = (port: Json, before: Json): Json | undefined =>
  objectsAt(before, 'ports').find((old) => old['port'] === port['port'] && old['protocol'] === port['protocol']);
