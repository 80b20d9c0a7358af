import { quantityIn } from './resource-amount.ts';
import type { ConfigMap, Container, EnvVar, Pod, Secret } from '../lib/api/objects.ts';
import type { ServiceLinks } from './service-links.ts';

/** What environment variables are made from. Pure: everything has been fetched before. */
export interface EnvironmentInputs {
  readonly pod: Pod;
  readonly container: Container;
  /** The pod's address; empty while it has none. */
  readonly podIp: string;
  readonly hostIp: string;
  /** What tells of Services: see `serviceLinks`. */
  readonly links: ServiceLinks['variables'];
  readonly configMaps: ReadonlyMap<string, ConfigMap>;
  readonly secrets: ReadonlyMap<string, Secret>;
  /** The node's capacity: what a container without limits may use. */
  readonly node: { readonly cpuMilli: number; readonly memoryBytes: number };
}

/** Something that the container's configuration names does not exist. */
export class ConfigMissing extends Error {}

/**
 * The variables of a container as `NAME=value`, later ones winning: those of Services (F-H, "discovery by environment"), then
 * `envFrom`, then `env` with `$(VAR)` expanded. Throws ConfigMissing naming what is not there.
 */
export function environment(inputs: EnvironmentInputs): readonly string[] {
  const { container } = inputs;
  const values = new Map<string, string>(inputs.links);
  for (const source of container.envFrom ?? []) {
    const [kind, from] =
      source.secretRef === undefined
        ? (['ConfigMap', source.configMapRef] as const)
        : (['Secret', source.secretRef] as const);
    if (from === undefined) continue;
    const data = dataOf(inputs, kind, from.name ?? '');
    if (data === undefined && from.optional !== true) throw missing(kind, from.name ?? '');
    for (const [key, value] of data ?? []) if (isVariableName(key)) values.set((source.prefix ?? '') + key, value);
  }
  for (const variable of container.env ?? []) {
    const value = valueOf(inputs, variable, values);
    if (value !== undefined) values.set(variable.name, value);
  }
  return [...values].map(([name, value]) => `${name}=${value}`);
}

/** What a command or argument becomes: `$(VAR)` is replaced where VAR is known, `$$` is a dollar sign. */
export function expanded(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$(\$|\(([^()]*)\))/g, (whole: string, what: string, name: string | undefined) => {
    if (what === '$') return '$';
    return values.get(name ?? '') ?? whole;
  });
}

export const asMap = (list: readonly string[]): ReadonlyMap<string, string> =>
  new Map(list.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));

const isVariableName = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name);

function valueOf(inputs: EnvironmentInputs, variable: EnvVar, known: ReadonlyMap<string, string>): string | undefined {
  const from = variable.valueFrom;
  if (from === undefined) return expanded(variable.value ?? '', known);
  if (from.fieldRef !== undefined) return fieldOf(inputs, from.fieldRef.fieldPath);
  if (from.resourceFieldRef !== undefined) {
    const name = from.resourceFieldRef.containerName;
    const container = name === undefined || name === '' ? inputs.container : containerOf(inputs.pod, name);
    return quantityIn(container?.resources, from.resourceFieldRef.resource, inputs.node, from.resourceFieldRef.divisor);
  }
  const [kind, reference] =
    from.secretKeyRef === undefined
      ? (['ConfigMap', from.configMapKeyRef] as const)
      : (['Secret', from.secretKeyRef] as const);
  if (reference === undefined) return '';
  const data = dataOf(inputs, kind, reference.name ?? '');
  const value = data?.get(reference.key);
  if (value !== undefined) return value;
  if (reference.optional === true) return undefined;
  throw data === undefined
    ? missing(kind, reference.name ?? '')
    : new ConfigMissing(
        `couldn't find key ${reference.key} in ${kind} ${inputs.pod.metadata.namespace ?? ''}/${reference.name ?? ''}`,
      );
}

const containerOf = (pod: Pod, name: string): Container | undefined =>
  [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((container) => container.name === name);

const missing = (kind: string, name: string): ConfigMissing =>
  new ConfigMissing(`${kind.toLowerCase()} "${name}" not found`);

function dataOf(
  inputs: EnvironmentInputs,
  kind: 'ConfigMap' | 'Secret',
  name: string,
): ReadonlyMap<string, string> | undefined {
  if (kind === 'ConfigMap') {
    const found = inputs.configMaps.get(name);
    return found === undefined ? undefined : new Map(Object.entries(found.data ?? {}));
  }
  const found = inputs.secrets.get(name);
  if (found === undefined) return undefined;
  return new Map(
    Object.entries(found.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}

/** A field of the pod by its path, as a container may ask for it (F67). */
export function fieldOf(
  { pod, podIp, hostIp }: Pick<EnvironmentInputs, 'pod' | 'podIp' | 'hostIp'>,
  path: string,
): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (keyed !== null) return metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2] ?? ''] ?? '';
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid;
    case 'metadata.labels':
    case 'metadata.annotations':
      return Object.entries(metadata[path.slice('metadata.'.length) as 'labels' | 'annotations'] ?? {})
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join('\n');
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? '';
    case 'status.podIP':
    case 'status.podIPs':
      return podIp;
    case 'status.hostIP':
    case 'status.hostIPs':
      return hostIp;
    default:
      throw new ConfigMissing(`fieldRef.fieldPath "${path}" is not a field that a container can ask for`);
  }
}
