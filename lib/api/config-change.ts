import type { Container, Labels, Pod, PodSpec, Volume } from './objects.ts';

/**
 * On a pod, or a template of pods: what a change of the ConfigMaps and Secrets that it names means to it. On a ConfigMap or Secret: the
 * same, for this one, among pods that say something.
 */
export const onConfigChangeAnnotation = 'troupe.dev/on-config-change';

/**
 * `none` (the default): nothing, as in Kubernetes; files of volumes change under the pod. `signal`: a signal to the containers that mount
 * it, once their files are the new ones. `roll`: it is part of the template of a Deployment, and its change a rollout.
 */
export const onConfigChange = ['none', 'signal', 'roll'] as const;
export type OnConfigChange = (typeof onConfigChange)[number];

/** On a pod: which signal. */
export const reloadSignalAnnotation = 'troupe.dev/reload-signal';
export const reloadSignals = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const;

type Annotated = { readonly annotations?: Labels } | undefined;

/** What the pod's own metadata ask for; validation lets no other word through. */
export const wishOf = (metadata: Annotated): OnConfigChange => said(metadata) ?? 'none';

/** What a change of `object` means to a pod: the object has the last word, among pods that say something. */
export function wishAbout(pod: Annotated, object: Annotated): OnConfigChange {
  const wish = said(pod);
  return wish === undefined ? 'none' : (said(object) ?? wish);
}

const said = (metadata: Annotated): OnConfigChange | undefined => {
  const word = metadata?.annotations?.[onConfigChangeAnnotation];
  return onConfigChange.find((each) => each === word);
};

/** A ConfigMap or Secret that a pod names, in its own namespace. */
export interface ConfigReference {
  readonly resource: 'configmaps' | 'secrets';
  readonly name: string;
}
export const referenceId = ({ resource, name }: ConfigReference): string => `${resource}/${name}`;

type Spec = Pick<PodSpec, 'containers' | 'initContainers' | 'volumes'>;

/** Every ConfigMap and Secret from which the pod's variables and volumes are filled, each once, in their order. */
export function configReferences(spec: Spec): readonly ConfigReference[] {
  const found = new Map<string, ConfigReference>();
  withConfigNames(spec, (reference) => {
    found.set(referenceId(reference), reference);
    return reference.name;
  });
  return [...found.values()];
}

type Rename = (reference: ConfigReference) => string;

/** The same pod with other names for what its variables and volumes are filled from. */
export function withConfigNames<T extends Spec>(spec: T, rename: Rename): T {
  const { containers, initContainers, volumes } = spec;
  return {
    ...spec,
    containers: containers.map((each) => containerWith(each, rename)),
    ...(initContainers && { initContainers: initContainers.map((each) => containerWith(each, rename)) }),
    ...(volumes && { volumes: volumes.map((each) => volumeWith(each, rename)) }),
  };
}

interface Named {
  readonly name?: string;
}
const named = <T extends Named>(source: T, resource: ConfigReference['resource'], rename: Rename): T =>
  source.name === undefined || source.name === ''
    ? source
    : { ...source, name: rename({ resource, name: source.name }) };

function containerWith(container: Container, rename: Rename): Container {
  const { env, envFrom } = container;
  return {
    ...container,
    ...(env && {
      env: env.map((variable) => {
        const { configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
        if (configMapKeyRef === undefined && secretKeyRef === undefined) return variable;
        const valueFrom = {
          ...variable.valueFrom,
          ...(configMapKeyRef && { configMapKeyRef: named(configMapKeyRef, 'configmaps', rename) }),
          ...(secretKeyRef && { secretKeyRef: named(secretKeyRef, 'secrets', rename) }),
        };
        return { ...variable, valueFrom };
      }),
    }),
    ...(envFrom && {
      envFrom: envFrom.map(({ configMapRef, secretRef, ...rest }) => ({
        ...rest,
        ...(configMapRef && { configMapRef: named(configMapRef, 'configmaps', rename) }),
        ...(secretRef && { secretRef: named(secretRef, 'secrets', rename) }),
      })),
    }),
  };
}

function volumeWith(volume: Volume, rename: Rename): Volume {
  const { configMap, secret, projected } = volume;
  if (configMap !== undefined) return { ...volume, configMap: named(configMap, 'configmaps', rename) };
  if (secret !== undefined) {
    const { secretName = '' } = secret;
    return secretName === ''
      ? volume
      : { ...volume, secret: { ...secret, secretName: rename({ resource: 'secrets', name: secretName }) } };
  }
  if (projected?.sources === undefined) return volume;
  const sources = (projected.sources as readonly { readonly configMap?: Named; readonly secret?: Named }[]).map(
    (source) => ({
      ...source,
      ...(source.configMap && { configMap: named(source.configMap, 'configmaps', rename) }),
      ...(source.secret && { secret: named(source.secret, 'secrets', rename) }),
    }),
  );
  return { ...volume, projected: { ...projected, sources } };
}

/** The containers of a pod that see the files of one of its volumes change: a mount of a part of it shows what it showed at the start. */
export function containersThatFollow({ spec }: Pod, volumes: readonly string[]): readonly string[] {
  const follows = ({ volumeMounts = [] }: Container): boolean =>
    volumeMounts.some(
      ({ name, subPath, subPathExpr }) =>
        volumes.includes(name) && (subPath ?? '') === '' && (subPathExpr ?? '') === '',
    );
  const lasting = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...lasting, ...spec.containers].filter(follows).map(({ name }) => name);
}
