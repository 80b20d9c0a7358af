import { isAbsent, isObject, listAt, numberAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, dnsSubdomain, qualifiedName } from '../names.ts';
import { parseCidr, parseIp, unusableAsEndpoint } from '../net.ts';
import { checkPort, protocols } from './container.ts';
import { ipRule, Seen, type Findings } from './findings.ts';
import { immutable, validateLabels } from './metadata.ts';
import { validatePortRef } from './probes.ts';

const types = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
/** A day. */
const maxAffinitySeconds = 86_400;

export function validateService(found: Findings, service: Json): void {
  const spec = service['spec'];
  if (!isObject(spec)) return found.required('spec');
  found.oneOf('spec.type', spec['type'], types);
  validateLabels(found, 'spec.selector', spec['selector']);
  validateClusterIP(found, spec);
  validatePorts(found, spec);
  validateAffinity(found, spec);
  validateExternal(found, spec);
  if (!isAbsent(spec['internalTrafficPolicy']))
    found.oneOf('spec.internalTrafficPolicy', spec['internalTrafficPolicy'], ['Cluster', 'Local']);
  listAt(spec, 'loadBalancerSourceRanges').forEach((range, index) => {
    if (typeof range === 'string' && parseCidr(range.trim()) === undefined)
      found.invalid(`spec.loadBalancerSourceRanges[${index}]`, range, 'must be an IPv4 block, such as 10.9.8.0/24');
  });
}

function validateClusterIP(found: Findings, spec: Json): void {
  const type = textAt(spec, 'type');
  const ip = textAt(spec, 'clusterIP');
  const all = listAt(spec, 'clusterIPs');
  if (type === 'ExternalName') {
    if (ip !== '') found.forbidden('spec.clusterIP', "may not be set when `type` is 'ExternalName'");
    return;
  }
  if (ip === 'None') {
    if (type === 'NodePort' || type === 'LoadBalancer')
      found.invalid('spec.clusterIP', ip, `may not be set to 'None' for ${type} services`);
  } else if (ip !== '' && parseIp(ip) === undefined) found.invalid('spec.clusterIP', ip, `${ipRule}, or 'None'`);
  if (all.length > 1)
    found.invalid('spec.clusterIPs', all, 'may only hold one address: clusters have one address family');
  if (all.length > 0 && all[0] !== ip) found.invalid('spec.clusterIPs', all, 'first value must match `clusterIP`');
}

function validatePorts(found: Findings, spec: Json): void {
  const ports = objectsAt(spec, 'ports');
  const type = textAt(spec, 'type');
  const mayBeEmpty = type === 'ExternalName' || spec['clusterIP'] === 'None';
  if (ports.length === 0 && !mayBeEmpty) found.required('spec.ports');
  const [names, numbers, nodePorts] = [new Seen(), new Seen(), new Seen()];
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    validatePortName(found, `${at}.name`, textAt(port, 'name'), { names, needed: ports.length > 1 });
    found.oneOf(`${at}.protocol`, port['protocol'], protocols);
    const number = numberAt(port, 'port') ?? 0;
    checkPort(found, `${at}.port`, number);
    if (numbers.again(`${textAt(port, 'protocol')}/${number}`))
      found.duplicate(at, { protocol: port['protocol'], port: number });
    validatePortRef(found, `${at}.targetPort`, port['targetPort']);
    if (textAt(port, 'appProtocol') !== '')
      found.check(`${at}.appProtocol`, textAt(port, 'appProtocol'), qualifiedName);
    const nodePort = numberAt(port, 'nodePort') ?? 0;
    if (nodePort === 0) return;
    checkPort(found, `${at}.nodePort`, nodePort);
    if (type === 'ClusterIP' || type === 'ExternalName')
      found.forbidden(`${at}.nodePort`, `may not be used when \`type\` is '${type}'`);
    if (nodePorts.again(`${textAt(port, 'protocol')}/${nodePort}`)) found.duplicate(`${at}.nodePort`, nodePort);
  });
}

/** With several ports each needs a name, so that Endpoints and DNS can tell them apart. */
export function validatePortName(
  found: Findings,
  field: string,
  name: string,
  rule: { readonly names: Seen; readonly needed: boolean },
): void {
  if (name === '') {
    if (rule.needed) found.required(field, 'each port needs a name when there is more than one');
    return;
  }
  found.check(field, name, dnsLabel);
  if (rule.names.again(name)) found.duplicate(field, name);
}

function validateAffinity(found: Findings, spec: Json): void {
  found.oneOf('spec.sessionAffinity', spec['sessionAffinity'], ['None', 'ClientIP']);
  const config = spec['sessionAffinityConfig'];
  if (spec['sessionAffinity'] === 'None' && !isAbsent(config))
    found.forbidden('spec.sessionAffinityConfig', 'must not be set when `sessionAffinity` is None');
  const seconds = objectAt(asConfig(config), 'clientIP')['timeoutSeconds'];
  found.range('spec.sessionAffinityConfig.clientIP.timeoutSeconds', seconds, 1, maxAffinitySeconds);
}
const asConfig = (value: unknown): Json => (isObject(value) ? value : {});

function validateExternal(found: Findings, spec: Json): void {
  const name = textAt(spec, 'externalName');
  if (spec['type'] === 'ExternalName')
    found.checkRequired('spec.externalName', name, (value) => dnsSubdomain(value.replace(/\.$/, '')));
  listAt(spec, 'externalIPs').forEach((ip, index) => {
    if (typeof ip !== 'string') return;
    const parsed = parseIp(ip);
    const wrong = parsed === undefined ? ipRule : unusableAsEndpoint(parsed);
    if (wrong !== undefined) found.invalid(`spec.externalIPs[${index}]`, ip, wrong);
  });
  if (!isAbsent(spec['externalTrafficPolicy']))
    found.oneOf('spec.externalTrafficPolicy', spec['externalTrafficPolicy'], ['Cluster', 'Local']);
}

/** The address lives as long as the Service (F131), unless it becomes, or was, a mere name. */
export function validateServiceUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  if (spec['type'] === 'ExternalName' || before['type'] === 'ExternalName') return;
  if (textAt(before, 'clusterIP') !== '') immutable(found, 'spec.clusterIP', spec['clusterIP'], before['clusterIP']);
}

export function validateServiceStatusUpdate(found: Findings, next: Json): void {
  objectsAt(objectAt(objectAt(next, 'status'), 'loadBalancer'), 'ingress').forEach((ingress, index) => {
    const at = `status.loadBalancer.ingress[${index}]`;
    const [ip, hostname] = [textAt(ingress, 'ip'), textAt(ingress, 'hostname')];
    if (ip !== '' && parseIp(ip) === undefined) found.invalid(`${at}.ip`, ip, ipRule);
    if (hostname !== '') found.check(`${at}.hostname`, hostname, dnsSubdomain);
  });
}

export function validateEndpoints(found: Findings, endpoints: Json): void {
  objectsAt(endpoints, 'subsets').forEach((subset, index) => {
    const at = `subsets[${index}]`;
    if (listAt(subset, 'addresses').length + listAt(subset, 'notReadyAddresses').length === 0)
      found.required(at, 'must specify `addresses` or `notReadyAddresses`');
    for (const field of ['addresses', 'notReadyAddresses'])
      objectsAt(subset, field).forEach((address, place) => validateAddress(found, `${at}.${field}[${place}]`, address));
    const ports = objectsAt(subset, 'ports');
    const names = new Seen();
    ports.forEach((port, place) => {
      const where = `${at}.ports[${place}]`;
      validatePortName(found, `${where}.name`, textAt(port, 'name'), { names, needed: ports.length > 1 });
      checkPort(found, `${where}.port`, numberAt(port, 'port') ?? 0);
      found.oneOf(`${where}.protocol`, port['protocol'], protocols);
      const app = textAt(port, 'appProtocol');
      if (app !== '') found.check(`${where}.appProtocol`, app, qualifiedName);
    });
  });
}

function validateAddress(found: Findings, field: string, address: Json): void {
  const ip = textAt(address, 'ip');
  if (ip === '') found.required(`${field}.ip`);
  else {
    const parsed = parseIp(ip);
    const wrong = parsed === undefined ? ipRule : unusableAsEndpoint(parsed);
    if (wrong !== undefined) found.invalid(`${field}.ip`, ip, wrong);
  }
  if (textAt(address, 'hostname') !== '') found.check(`${field}.hostname`, textAt(address, 'hostname'), dnsLabel);
  if (textAt(address, 'nodeName') !== '') found.check(`${field}.nodeName`, textAt(address, 'nodeName'), dnsSubdomain);
}
