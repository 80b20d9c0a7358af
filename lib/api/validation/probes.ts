import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { portName, portNumber } from '../names.ts';
import type { Findings } from './findings.ts';

/** A sidecar is an init container that stays. */
export type Role = 'container' | 'init' | 'sidecar';

/** The three probes of a container. Init containers end by themselves and have none, unless they stay (sidecars). */
export function validateProbes(found: Findings, field: string, container: Json, role: Role): void {
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[name];
    if (!isObject(probe)) continue;
    if (role === 'init') found.forbidden(`${field}.${name}`, notForInit);
    else validateProbe(found, `${field}.${name}`, probe, name === 'readinessProbe');
  }
}
const notForInit = 'may not be set for init containers without restartPolicy=Always';

function validateProbe(found: Findings, field: string, probe: Json, isReadiness: boolean): void {
  validateHandler(found, field, probe, ['exec', 'httpGet', 'tcpSocket', 'grpc']);
  found.range(`${field}.initialDelaySeconds`, probe['initialDelaySeconds'], 0);
  for (const part of ['timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'])
    found.range(`${field}.${part}`, probe[part], 1);
  const successes = probe['successThreshold'];
  if (!isReadiness && typeof successes === 'number' && successes > 1)
    found.invalid(`${field}.successThreshold`, successes, 'must be 1');
  const grace = probe['terminationGracePeriodSeconds'];
  if (isReadiness && !isAbsent(grace))
    found.invalid(`${field}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes');
  else found.range(`${field}.terminationGracePeriodSeconds`, grace, 1);
}

/** What runs just after a container starts and just before it is stopped. */
export function validateLifecycle(
  found: Findings,
  field: string,
  container: Json,
  scope: { readonly role: Role; readonly graceSeconds: number },
): void {
  const lifecycle = container['lifecycle'];
  if (!isObject(lifecycle)) return;
  if (scope.role === 'init') return found.forbidden(`${field}.lifecycle`, notForInit);
  const signal = lifecycle['stopSignal'];
  if (!isAbsent(signal) && (typeof signal !== 'string' || !/^SIG[A-Z][A-Z0-9+-]*$/.test(signal)))
    found.invalid(`${field}.lifecycle.stopSignal`, signal, 'must be the name of a signal, such as SIGUSR1');
  for (const name of ['postStart', 'preStop']) {
    const handler = lifecycle[name];
    if (!isObject(handler)) continue;
    const at = `${field}.lifecycle.${name}`;
    validateHandler(found, at, handler, ['exec', 'httpGet', 'tcpSocket', 'sleep']);
    const seconds = objectAt(handler, 'sleep')['seconds'];
    if (typeof seconds === 'number' && (seconds < 1 || seconds > scope.graceSeconds))
      found.invalid(
        `${at}.sleep.seconds`,
        seconds,
        `must be greater than 0 and no more than terminationGracePeriodSeconds (${scope.graceSeconds})`,
      );
  }
}

function validateHandler(found: Findings, field: string, handler: Json, kinds: readonly string[]): void {
  const given = kinds.filter((kind) => isObject(handler[kind]));
  if (given.length === 0) found.required(field, `must specify a handler type: one of ${kinds.join(', ')}`);
  for (const kind of given.slice(1)) found.forbidden(`${field}.${kind}`, 'may not specify more than 1 handler type');
  if (isObject(handler['exec']) && listAt(handler['exec'], 'command').length === 0)
    found.required(`${field}.exec.command`);
  if (isObject(handler['httpGet'])) validateHttpGet(found, `${field}.httpGet`, handler['httpGet']);
  if (isObject(handler['tcpSocket'])) validatePortRef(found, `${field}.tcpSocket.port`, handler['tcpSocket']['port']);
  if (isObject(handler['grpc'])) {
    const port = handler['grpc']['port'];
    if (isAbsent(port)) found.required(`${field}.grpc.port`);
    else found.range(`${field}.grpc.port`, port, 1, 65535);
  }
}

function validateHttpGet(found: Findings, field: string, http: Json): void {
  if (textAt(http, 'path') === '') found.required(`${field}.path`);
  validatePortRef(found, `${field}.port`, http['port']);
  found.oneOf(`${field}.scheme`, http['scheme'], ['HTTP', 'HTTPS']);
  objectsAt(http, 'httpHeaders').forEach((header, index) => {
    const name = textAt(header, 'name');
    const at = `${field}.httpHeaders[${index}].name`;
    if (name === '') found.required(at);
    else if (!/^[-A-Za-z0-9]+$/.test(name)) found.invalid(at, name, `must consist of letters, digits and '-'`);
  });
}

/** A port by number or by name. */
export function validatePortRef(found: Findings, field: string, port: unknown): void {
  if (isAbsent(port) || port === '') return found.required(field);
  const wrong = typeof port === 'number' ? portNumber(port) : typeof port === 'string' ? portName(port) : undefined;
  if (wrong !== undefined) found.invalid(field, port, wrong);
}
