import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { qualifiedName } from '../names.ts';
import { Seen, type Findings } from './findings.ts';

/** The largest uid and gid. */
const maxId = 2_147_483_647;

/** What a pod's containers share: users and groups, profiles, kernel settings. */
export function validatePodSecurity(found: Findings, field: string, spec: Json): void {
  const context = objectAt(spec, 'securityContext');
  validateIds(found, field, context);
  validateProfiles(found, field, context);
  optional(found, `${field}.fsGroupChangePolicy`, context, ['Always', 'OnRootMismatch']);
  optional(found, `${field}.supplementalGroupsPolicy`, context, ['Merge', 'Strict']);
  const names = new Seen();
  objectsAt(context, 'sysctls').forEach((sysctl, index) => {
    const name = textAt(sysctl, 'name');
    const at = `${field}.sysctls[${index}].name`;
    if (name === '') found.required(at);
    else if (name.length > 253 || !/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/.test(name))
      found.invalid(at, name, 'must be a sysctl name of at most 253 characters, such as net.core.somaxconn');
    else if (names.again(name.replaceAll('/', '.'))) found.duplicate(at, name);
    else validateSysctlScope(found, at, name, spec);
  });
}

/** A pod in the node's own namespace would set the node's own values. */
function validateSysctlScope(found: Findings, field: string, name: string, spec: Json): void {
  const dotted = name.replaceAll('/', '.');
  if (spec['hostNetwork'] === true && dotted.startsWith('net.'))
    found.invalid(field, name, 'may not be specified when `hostNetwork` is true');
  if (spec['hostIPC'] === true && /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(dotted))
    found.invalid(field, name, 'may not be specified when `hostIPC` is true');
}

/** What one container may do. */
export function validateSecurity(found: Findings, field: string, context: Json): void {
  validateIds(found, field, context);
  validateProfiles(found, field, context);
  optional(found, `${field}.procMount`, context, ['Default', 'Unmasked']);
  if (context['allowPrivilegeEscalation'] !== false) return;
  const at = `${field}.allowPrivilegeEscalation`;
  if (context['privileged'] === true) found.invalid(at, false, 'cannot be false when `privileged` is true');
  const adds = listAt(objectAt(context, 'capabilities'), 'add');
  if (adds.some((name) => name === 'SYS_ADMIN' || name === 'CAP_SYS_ADMIN'))
    found.invalid(at, false, 'cannot be false when `capabilities.add` has SYS_ADMIN');
}

function validateIds(found: Findings, field: string, context: Json): void {
  for (const id of ['runAsUser', 'runAsGroup', 'fsGroup']) found.range(`${field}.${id}`, context[id], 0, maxId);
  listAt(context, 'supplementalGroups').forEach((group, index) =>
    found.range(`${field}.supplementalGroups[${index}]`, group, 0, maxId),
  );
}

function validateProfiles(found: Findings, field: string, context: Json): void {
  for (const name of ['seccompProfile', 'appArmorProfile'] as const) {
    const profile = context[name];
    if (!isObject(profile)) continue;
    const at = `${field}.${name}`;
    found.oneOf(`${at}.type`, profile['type'], ['RuntimeDefault', 'Unconfined', 'Localhost']);
    const local = textAt(profile, 'localhostProfile');
    const isLocal = profile['type'] === 'Localhost';
    if (isLocal && local === '') found.required(`${at}.localhostProfile`, 'must be set when the type is Localhost');
    if (!isLocal && local !== '')
      found.invalid(`${at}.localhostProfile`, local, 'can only be set when the type is Localhost');
    if (name === 'seccompProfile' && isLocal && (local.startsWith('/') || local.split('/').includes('..')))
      found.invalid(
        `${at}.localhostProfile`,
        local,
        "must be a path below the node's folder of profiles, without '..'",
      );
  }
}

/** One of a few words, where it is given. */
function optional(found: Findings, field: string, context: Json, words: readonly string[]): void {
  const value = context[field.slice(field.lastIndexOf('.') + 1)];
  if (!isAbsent(value) && value !== '') found.oneOf(field, value, words);
}

/** Conditions that others set before the pod counts as ready. */
export function validateReadinessGates(found: Findings, field: string, gates: readonly Json[]): void {
  gates.forEach((gate, index) => {
    found.checkRequired(`${field}[${index}].conditionType`, textAt(gate, 'conditionType'), qualifiedName);
  });
}
