import { asText, isAbsent, numberAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, portName, portNumber } from '../names.ts';
import { parseIp } from '../net.ts';
import { validateResources } from './amounts.ts';
import { validateEnv, validateEnvFrom } from './environment.ts';
import { ipRule, type Findings, type Seen } from './findings.ts';
import { validateLifecycle, validateProbes, type Role } from './probes.ts';
import { validateSecurity } from './security.ts';
import { validateMounts } from './volumes.ts';

export const protocols = ['TCP', 'UDP', 'SCTP'];

/** What the containers of one pod must agree on. */
export interface ContainerScope {
  readonly hostNetwork: boolean;
  readonly graceSeconds: number;
  readonly volumes: readonly string[];
  readonly names: Seen;
  readonly portNames: Seen;
  readonly hostPorts: Seen;
  readonly role: Role;
}

/** One container of a pod, all of its fields. */
export function validateContainer(found: Findings, field: string, container: Json, scope: ContainerScope): void {
  const { role } = scope;
  const name = textAt(container, 'name');
  found.checkRequired(`${field}.name`, name, dnsLabel);
  if (name !== '' && scope.names.again(name)) found.duplicate(`${field}.name`, name);
  validateImage(found, `${field}.image`, textAt(container, 'image'));
  found.oneOf(`${field}.imagePullPolicy`, container['imagePullPolicy'], ['Always', 'IfNotPresent', 'Never']);
  if (textAt(container, 'terminationMessagePath') === '') found.required(`${field}.terminationMessagePath`);
  found.oneOf(`${field}.terminationMessagePolicy`, container['terminationMessagePolicy'], [
    'File',
    'FallbackToLogsOnError',
  ]);
  validateRestart(found, field, container, role);
  validatePorts(found, `${field}.ports`, objectsAt(container, 'ports'), scope);
  validateEnv(found, `${field}.env`, objectsAt(container, 'env'));
  validateEnvFrom(found, `${field}.envFrom`, objectsAt(container, 'envFrom'));
  validateResources(found, `${field}.resources`, objectAt(container, 'resources'));
  validateMounts(found, `${field}.volumeMounts`, objectsAt(container, 'volumeMounts'), {
    volumes: scope.volumes,
    privileged: objectAt(container, 'securityContext')['privileged'] === true,
  });
  validateProbes(found, field, container, role);
  validateLifecycle(found, field, container, { role, graceSeconds: scope.graceSeconds });
  validateSecurity(found, `${field}.securityContext`, objectAt(container, 'securityContext'));
}

export function validateImage(found: Findings, field: string, image: string): void {
  if (image === '') found.required(field);
  else if (image.trim() !== image) found.invalid(field, image, 'must not have leading or trailing whitespace');
}

function validateRestart(found: Findings, field: string, container: Json, role: Role): void {
  const policy = container['restartPolicy'];
  if (isAbsent(policy)) return;
  if (role === 'container') found.forbidden(`${field}.restartPolicy`, 'may not be set for non-init containers');
  else found.oneOf(`${field}.restartPolicy`, policy, ['Always']);
}

function validatePorts(found: Findings, field: string, ports: readonly Json[], scope: ContainerScope): void {
  ports.forEach((port, index) => {
    const at = `${field}[${index}]`;
    const name = textAt(port, 'name');
    if (name !== '') {
      found.check(`${at}.name`, name, portName);
      if (scope.portNames.again(name)) found.duplicate(`${at}.name`, name);
    }
    const number = numberAt(port, 'containerPort') ?? 0;
    if (number === 0) found.required(`${at}.containerPort`);
    else checkPort(found, `${at}.containerPort`, number);
    found.oneOf(`${at}.protocol`, port['protocol'], protocols);
    const hostIP = textAt(port, 'hostIP');
    if (hostIP !== '' && parseIp(hostIP) === undefined) found.invalid(`${at}.hostIP`, hostIP, ipRule);
    validateHostPort(found, `${at}.hostPort`, port, scope);
  });
}

function validateHostPort(found: Findings, field: string, port: Json, scope: ContainerScope): void {
  const hostPort = numberAt(port, 'hostPort') ?? 0;
  if (hostPort === 0) return;
  checkPort(found, field, hostPort);
  if (scope.hostNetwork && hostPort !== port['containerPort'])
    found.invalid(field, hostPort, 'must match `containerPort` when `hostNetwork` is true');
  const taken = `${asText(port['protocol'])}/${asText(port['hostIP'])}/${hostPort}`;
  if (scope.hostPorts.again(taken)) found.duplicate(field, hostPort);
}

export function checkPort(found: Findings, field: string, port: number): void {
  const wrong = portNumber(port);
  if (wrong !== undefined) found.invalid(field, port, wrong);
}
