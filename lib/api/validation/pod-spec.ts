import { isAbsent, isObject, listAt, numberAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, dnsSubdomain, labelValue, qualifiedName } from '../names.ts';
import { parseIp } from '../net.ts';
import { validateContainer, type ContainerScope } from './container.ts';
import { validateEphemeral } from './ephemeral.ts';
import { validateGates } from './gates.ts';
import { ipRule, Seen, type Findings } from './findings.ts';
import { validateLabels } from './metadata.ts';
import { validateAffinity, validateSpreading } from './placing.ts';
import { validatePodSecurity, validateReadinessGates } from './security.ts';
import { validateVolumes } from './volumes.ts';

const maxInt32 = 2 ** 31 - 1;
export const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

/** The spec of a pod, or of a template at another `field`. */
export function validatePodSpec(found: Findings, field: string, spec: Json): void {
  const volumes = objectsAt(spec, 'volumes');
  validateVolumes(found, `${field}.volumes`, volumes);
  const scope: ContainerScope = {
    hostNetwork: spec['hostNetwork'] === true,
    graceSeconds: numberAt(spec, 'terminationGracePeriodSeconds') ?? 30,
    volumes: volumes.map((volume) => textAt(volume, 'name')),
    names: new Seen(),
    portNames: new Seen(),
    hostPorts: new Seen(),
    role: 'container',
  };
  validateContainers(found, field, spec, scope);

  found.oneOf(`${field}.restartPolicy`, spec['restartPolicy'], ['Always', 'OnFailure', 'Never']);
  found.range(`${field}.terminationGracePeriodSeconds`, spec['terminationGracePeriodSeconds'], 0);
  found.range(`${field}.activeDeadlineSeconds`, spec['activeDeadlineSeconds'], 1, maxInt32);
  validateLabels(found, `${field}.nodeSelector`, spec['nodeSelector']);
  for (const name of ['nodeName', 'serviceAccountName', 'priorityClassName', 'schedulerName'])
    if (textAt(spec, name) !== '') found.check(`${field}.${name}`, textAt(spec, name), dnsSubdomain);
  for (const name of ['hostname', 'subdomain'])
    if (textAt(spec, name) !== '') found.check(`${field}.${name}`, textAt(spec, name), dnsLabel);
  objectsAt(spec, 'imagePullSecrets').forEach((secret, index) => {
    if (textAt(secret, 'name') === '') found.required(`${field}.imagePullSecrets[${index}].name`);
  });
  if (spec['shareProcessNamespace'] === true && spec['hostPID'] === true)
    found.invalid(`${field}.shareProcessNamespace`, true, 'ShareProcessNamespace and HostPID cannot both be enabled');
  validatePodSecurity(found, `${field}.securityContext`, spec);
  validateReadinessGates(found, `${field}.readinessGates`, objectsAt(spec, 'readinessGates'));
  validateGates(found, `${field}.schedulingGates`, objectsAt(spec, 'schedulingGates'));
  validateTolerations(found, `${field}.tolerations`, objectsAt(spec, 'tolerations'));
  validateAffinity(found, `${field}.affinity`, spec['affinity']);
  validateSpreading(found, `${field}.topologySpreadConstraints`, objectsAt(spec, 'topologySpreadConstraints'));
  validateHostAliases(found, `${field}.hostAliases`, objectsAt(spec, 'hostAliases'));
  validateDns(found, field, spec);
  validateUnsupported(found, field, spec);
}

/** What no node could keep is refused, rather than left out in silence. */
function validateUnsupported(found: Findings, field: string, spec: Json): void {
  if (spec['hostUsers'] === false)
    found.forbidden(
      `${field}.hostUsers`,
      'user namespaces are not supported: containers share the users of their node',
    );
  const runtimeClass = textAt(spec, 'runtimeClassName');
  if (runtimeClass !== '')
    found.forbidden(`${field}.runtimeClassName`, `pod rejected: RuntimeClass "${runtimeClass}" not found`);
  const os = textAt(objectAt(spec, 'os'), 'name');
  if (os !== '' && os !== 'linux') found.notSupported(`${field}.os.name`, os, ['linux']);
}

function validateContainers(found: Findings, field: string, spec: Json, scope: ContainerScope): void {
  const containers = objectsAt(spec, 'containers');
  if (containers.length === 0) found.required(`${field}.containers`);
  objectsAt(spec, 'initContainers').forEach((container, index) => {
    const role = container['restartPolicy'] === 'Always' ? 'sidecar' : 'init';
    // Init containers that end before the next begins may use the same port names and host ports again.
    const own: ContainerScope =
      role === 'init' ? { ...scope, role, portNames: new Seen(), hostPorts: new Seen() } : { ...scope, role };
    validateContainer(found, `${field}.initContainers[${index}]`, container, own);
  });
  containers.forEach((container, index) => validateContainer(found, `${field}.containers[${index}]`, container, scope));
  validateEphemeral(found, field, spec, scope);
}

export function validateTolerations(found: Findings, field: string, tolerations: readonly Json[]): void {
  tolerations.forEach((toleration, index) => {
    const at = `${field}[${index}]`;
    const [key, value, operator, effect] = ['key', 'value', 'operator', 'effect'].map((each) =>
      textAt(toleration, each),
    );
    if (key !== undefined && key !== '') found.check(`${at}.key`, key, qualifiedName);
    else if (operator !== 'Exists')
      found.invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    if (operator !== undefined && !['', 'Equal', 'Exists'].includes(operator))
      found.notSupported(`${at}.operator`, operator, ['Equal', 'Exists']);
    if (operator === 'Exists' && value !== '')
      found.invalid(`${at}.value`, value, 'value must be empty when `operator` is Exists');
    else if (value !== undefined) found.check(`${at}.value`, value, labelValue);
    if (effect !== undefined && effect !== '') found.oneOf(`${at}.effect`, effect, taintEffects);
    if (!isAbsent(toleration['tolerationSeconds']) && effect !== 'NoExecute')
      found.invalid(`${at}.effect`, effect, `effect must be 'NoExecute' when \`tolerationSeconds\` is set`);
  });
}

function validateHostAliases(found: Findings, field: string, aliases: readonly Json[]): void {
  aliases.forEach((alias, index) => {
    const ip = textAt(alias, 'ip');
    if (parseIp(ip) === undefined) found.invalid(`${field}[${index}].ip`, ip, ipRule);
    listAt(alias, 'hostnames').forEach((name, at) => {
      if (typeof name === 'string') found.check(`${field}[${index}].hostnames[${at}]`, name, dnsSubdomain);
    });
  });
}

/** What a resolver takes: resolv.conf(5). */
const maxNameservers = 3;
const maxSearches = 32;
const maxSearchCharacters = 2048;

function validateDns(found: Findings, field: string, spec: Json): void {
  const policies = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];
  found.oneOf(`${field}.dnsPolicy`, spec['dnsPolicy'], policies);
  const config = objectAt(spec, 'dnsConfig');
  const at = `${field}.dnsConfig`;
  const nameservers = listAt(config, 'nameservers');
  if (spec['dnsPolicy'] === 'None' && nameservers.length === 0)
    found.required(
      isObject(spec['dnsConfig']) ? `${at}.nameservers` : at,
      'must provide at least one DNS nameserver when `dnsPolicy` is None',
    );
  if (nameservers.length > maxNameservers)
    found.invalid(`${at}.nameservers`, nameservers, `must not have more than ${maxNameservers} nameservers`);
  nameservers.forEach((ip, index) => {
    if (typeof ip === 'string' && parseIp(ip) === undefined) found.invalid(`${at}.nameservers[${index}]`, ip, ipRule);
  });
  const searches = listAt(config, 'searches').filter((each) => typeof each === 'string');
  if (searches.length > maxSearches)
    found.invalid(`${at}.searches`, searches.length, `must not have more than ${maxSearches} search paths`);
  if (searches.join(' ').length > maxSearchCharacters)
    found.invalid(
      `${at}.searches`,
      searches.length,
      `must not have more than ${maxSearchCharacters} characters in all`,
    );
  searches.forEach((search, index) => {
    if (search !== '.') found.check(`${at}.searches[${index}]`, search.replace(/\.$/, ''), dnsSubdomain);
  });
  objectsAt(config, 'options').forEach((option, index) => {
    if (textAt(option, 'name') === '') found.required(`${at}.options[${index}].name`);
  });
}
