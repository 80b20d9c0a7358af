import { carriageFaults } from '../carriage.ts';
import { isExternal, usesHealthCheckPort } from '../defaults/service-type.ts';
import { isAbsent, isObject, listAt, numberAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, dnsSubdomain, qualifiedName } from '../names.ts';
import { parseCidr, parseIp, unusableAsEndpoint } from '../net.ts';
import { checkPort, protocols } from './container.ts';
import { ipRule, Seen, type Findings } from './findings.ts';
import { immutable, validateLabels, validateLabelSelector } from './metadata.ts';
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
  for (const { annotation, value, why } of carriageFaults(objectAt(objectAt(service, 'metadata'), 'annotations')))
    found.invalid(`metadata.annotations[${annotation}]`, value, why);
  if (!isAbsent(spec['internalTrafficPolicy']))
    found.oneOf('spec.internalTrafficPolicy', spec['internalTrafficPolicy'], ['Cluster', 'Local']);
  validateFamilies(found, spec);
  validateBalancer(found, spec);
  validateAllowedClients(found, spec);
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
    found.invalid('spec.clusterIPs', all, 'may only hold one address: the cluster has one address family, IPv4');
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
  const policy = spec['externalTrafficPolicy'];
  if (isAbsent(policy) || policy === '') return;
  found.oneOf('spec.externalTrafficPolicy', policy, ['Cluster', 'Local']);
  if (!isExternal(spec))
    found.forbidden(
      'spec.externalTrafficPolicy',
      'nothing reaches this Service from outside; it needs type NodePort or LoadBalancer, or `externalIPs`',
    );
}

/** One address family is served. Asking for two where they can be had is fine, asking for what is not there is not. */
function validateFamilies(found: Findings, spec: Json): void {
  const [families, policy] = [listAt(spec, 'ipFamilies'), spec['ipFamilyPolicy']];
  if (spec['type'] === 'ExternalName') {
    if (families.length > 0) found.forbidden('spec.ipFamilies', "may not be set when `type` is 'ExternalName'");
    if (!isAbsent(policy)) found.forbidden('spec.ipFamilyPolicy', "may not be set when `type` is 'ExternalName'");
    return;
  }
  if (!isAbsent(policy))
    found.oneOf('spec.ipFamilyPolicy', policy, ['SingleStack', 'PreferDualStack', 'RequireDualStack']);
  if (policy === 'RequireDualStack')
    found.invalid(
      'spec.ipFamilyPolicy',
      policy,
      `${oneFamily}; use SingleStack, or PreferDualStack for as many as there are`,
    );
  families.forEach((family, index) => {
    const at = `spec.ipFamilies[${index}]`;
    if (family === 'IPv6') found.invalid(at, family, `${oneFamily}; leave \`ipFamilies\` out`);
    else found.oneOf(at, family, ['IPv4', 'IPv6']);
    if (family === 'IPv4' && families.indexOf(family) < index) found.duplicate(at, family);
  });
}
const oneFamily = 'the cluster has one address family, IPv4';

/** What only means something for a load balancer is refused elsewhere: silently without effect, it would be relied on. */
function validateBalancer(found: Findings, spec: Json): void {
  const isBalancer = spec['type'] === 'LoadBalancer';
  const ranges = listAt(spec, 'loadBalancerSourceRanges');
  ranges.forEach((range, index) => {
    if (typeof range === 'string' && parseCidr(range.trim()) === undefined)
      found.invalid(`spec.loadBalancerSourceRanges[${index}]`, range, 'must be an IPv4 block, such as 10.9.8.0/24');
  });
  const name = textAt(spec, 'loadBalancerClass');
  if (name !== '') found.check('spec.loadBalancerClass', name, qualifiedName);
  const asked = textAt(spec, 'loadBalancerIP');
  if (asked !== '' && parseIp(asked) === undefined) found.invalid('spec.loadBalancerIP', asked, ipRule);
  const health = numberAt(spec, 'healthCheckNodePort') ?? 0;
  if (health !== 0) {
    checkPort(found, 'spec.healthCheckNodePort', health);
    if (!usesHealthCheckPort(spec))
      found.forbidden(
        'spec.healthCheckNodePort',
        "only with `type` 'LoadBalancer' and `externalTrafficPolicy` 'Local' do balancers ask nodes for it",
      );
    if (objectsAt(spec, 'ports').some((port) => port['nodePort'] === health))
      found.duplicate('spec.healthCheckNodePort', health);
  }
  if (isBalancer) return;
  const only = "may only be used when `type` is 'LoadBalancer'";
  if (ranges.length > 0) found.forbidden('spec.loadBalancerSourceRanges', only);
  if (name !== '') found.forbidden('spec.loadBalancerClass', only);
  if (!isAbsent(spec['allocateLoadBalancerNodePorts'])) found.forbidden('spec.allocateLoadBalancerNodePorts', only);
}

const mostClientSelectors = 64;

/** Whoever declares clients means to keep others out: what could be read as "everybody" by mistake is refused. */
function validateAllowedClients(found: Findings, spec: Json): void {
  if (isAbsent(spec['allowedClients'])) return;
  const field = 'spec.allowedClients';
  const clients = objectsAt(spec, 'allowedClients');
  if (clients.length === 0) {
    const rule = 'must name somebody: leave it out to let everybody in, or select pods that do not exist';
    return found.invalid(field, [], rule);
  }
  if (clients.length > mostClientSelectors) found.tooLong(field, mostClientSelectors, clients.length, 'entries');
  if (spec['type'] === 'ExternalName')
    found.forbidden(field, "may not be set when `type` is 'ExternalName': its traffic does not pass through here");
  else if (Object.keys(objectAt(spec, 'selector')).length === 0)
    found.forbidden(field, 'needs `selector`: Endpoints written by hand have `access.clients` of their own');
  clients.forEach((client, index) => {
    const at = `${field}[${index}]`;
    if (isAbsent(client['podSelector']) && isAbsent(client['namespaceSelector']))
      found.required(at, 'must have `podSelector` or `namespaceSelector`; {} selects all');
    validateLabelSelector(found, `${at}.podSelector`, client['podSelector']);
    validateLabelSelector(found, `${at}.namespaceSelector`, client['namespaceSelector']);
  });
}

/** The address lives as long as the Service (F131), unless it becomes, or was, a mere name. */
export function validateServiceUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  if (spec['type'] === 'LoadBalancer' && before['type'] === 'LoadBalancer')
    immutable(found, 'spec.loadBalancerClass', spec['loadBalancerClass'], before['loadBalancerClass']);
  if (usesHealthCheckPort(spec) && usesHealthCheckPort(before))
    immutable(found, 'spec.healthCheckNodePort', spec['healthCheckNodePort'], before['healthCheckNodePort']);
  if (spec['type'] === 'ExternalName' || before['type'] === 'ExternalName') return;
  if (textAt(before, 'clusterIP') !== '') immutable(found, 'spec.clusterIP', spec['clusterIP'], before['clusterIP']);
}

export function validateServiceStatusUpdate(found: Findings, next: Json): void {
  const ingresses = objectsAt(objectAt(objectAt(next, 'status'), 'loadBalancer'), 'ingress');
  if (ingresses.length > 0 && objectAt(next, 'spec')['type'] !== 'LoadBalancer')
    found.forbidden('status.loadBalancer.ingress', "may only be used when `spec.type` is 'LoadBalancer'");
  ingresses.forEach((ingress, index) => {
    const at = `status.loadBalancer.ingress[${index}]`;
    const [ip, hostname, mode] = [textAt(ingress, 'ip'), textAt(ingress, 'hostname'), ingress['ipMode']];
    if (ip !== '' && parseIp(ip) === undefined) found.invalid(`${at}.ip`, ip, ipRule);
    if (!isAbsent(mode)) {
      found.oneOf(`${at}.ipMode`, mode, ['VIP', 'Proxy']);
      if (ip === '') found.forbidden(`${at}.ipMode`, 'may not be specified when `ip` is not set');
    }
    objectsAt(ingress, 'ports').forEach((port, place) => {
      checkPort(found, `${at}.ports[${place}].port`, numberAt(port, 'port') ?? 0);
      found.oneOf(`${at}.ports[${place}].protocol`, port['protocol'], protocols);
    });
    if (hostname !== '') found.check(`${at}.hostname`, hostname, dnsSubdomain);
  });
}

export function validateEndpoints(found: Findings, endpoints: Json): void {
  validateSubsets(found, 'subsets', objectsAt(endpoints, 'subsets'));
  const access = objectAt(endpoints, 'access');
  listAt(access, 'clients').forEach((ip, index) => {
    if (typeof ip === 'string')
      found.check(`access.clients[${index}]`, ip, (text) => (parseIp(text) === undefined ? ipRule : undefined));
  });
  validateSubsets(found, 'access.leaving', objectsAt(access, 'leaving'));
}

function validateSubsets(found: Findings, field: string, subsets: readonly Json[]): void {
  subsets.forEach((subset, index) => {
    const at = `${field}[${index}]`;
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
