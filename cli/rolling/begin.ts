import { ApiError } from '../../lib/base/errors.ts';
import { sameJson } from '../../lib/api/json.ts';
import { makeKey } from '../../lib/api/keys.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import type { Labels, PodTemplateSpec, ReplicationController } from '../../lib/api/objects.ts';
import {
  agreementOf,
  readAgreement,
  rollingUpdateAnnotation,
  type RollingAgreement,
} from '../../lib/api/rolling-updates.ts';
import { onFailedRolloutAnnotation, type OnFailedRollout } from '../../lib/api/rollouts.ts';
import type { Draft } from '../../lib/client/client.ts';
import { hashOf } from '../../lib/rollout/hash.ts';
import { missing } from '../select.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../shell.ts';
import type { Update } from './orders.ts';

/** What a person asked for, checked as far as it can be without the cluster. */
export interface Wish {
  readonly filename?: string;
  readonly images: readonly string[];
  /** Of the copy. */
  readonly name?: string;
  /** The label that tells the copy's pods from the old ones. */
  readonly label: string;
  readonly onFailed: OnFailedRollout;
  readonly agreement: Omit<RollingAgreement, 'from' | 'replicas' | 'fromReplicas' | 'label'>;
}

/**
 * Puts the new controller there, without pods, with what was agreed on; the cluster does the rest. The same again while the update is
 * under way changes nothing and resolves to it.
 */
export async function begin(session: Session, from: string, wish: Wish): Promise<Update> {
  const client = await session.client();
  const { namespace } = session.globals;
  const { items } = await client.list('replicationcontrollers', { namespace }, session.call);
  const old = items.find(({ metadata }) => metadata.name === from);
  if (old === undefined) throw missing(session, 'replicationcontrollers', from);
  const { draft, replicas } =
    wish.filename === undefined ? copyOf(old, wish) : await written(session, old, wish.filename);
  const { name = '' } = draft.metadata;
  const same = items.find((rc) => rc.metadata.name === name);
  if (same !== undefined && agreementOf(same)?.from === from && sameJson(imagesOf(same), imagesOf(draft))) {
    session.note(`the rolling update of ${from} to ${name} is under way already`);
    return { from, to: name, uid: same.metadata.uid };
  }
  refuseSecond(items, old, name);
  const label = labelFor(old, draft, wish.label);
  const agreement = {
    ...{ from, replicas, fromReplicas: old.spec.replicas, ...wish.agreement },
    ...(label !== undefined && { label }),
  };
  const { problem } = readAgreement(JSON.stringify(agreement));
  if (problem !== undefined) throw new UsageError(`the rolling update cannot be: ${problem}`);
  const annotations = {
    ...draft.metadata.annotations,
    ...{ [rollingUpdateAnnotation]: JSON.stringify(agreement), [onFailedRolloutAnnotation]: wish.onFailed },
  };
  const made = await client.create(
    'replicationcontrollers',
    { ...draft, metadata: { ...draft.metadata, namespace, annotations } },
    session.call,
  );
  session.note(`rolling update of ${from} to ${name} begins: ${String(replicas)} pods`);
  return { from, to: name, uid: made.metadata.uid };
}

const imagesOf = ({ spec }: Pick<Draft<ReplicationController>, 'spec'>): readonly string[] =>
  (spec?.template?.spec?.containers ?? []).map(({ image }) => image ?? '');

interface Drafted {
  readonly draft: Draft<ReplicationController>;
  readonly replicas: number;
}

/** The old one in all ways but the images, and the label that tells them apart (F120). */
function copyOf(old: ReplicationController, { images, label, name }: Wish): Drafted {
  const template = withImages(old, images);
  const plain = { ...template, metadata: { ...template.metadata, labels: without(template.metadata?.labels, label) } };
  const hash = hashOf(plain, 0);
  const labels = { ...template.metadata?.labels, [label]: hash };
  const own = old.spec.selector[label];
  const base =
    own !== undefined && old.metadata.name.endsWith(`-${own}`)
      ? old.metadata.name.slice(0, -own.length - 1)
      : old.metadata.name;
  return {
    replicas: old.spec.replicas,
    draft: {
      ...{ apiVersion: 'v1', kind: 'ReplicationController' },
      metadata: {
        name: name ?? `${base}-${hash}`,
        labels: { ...old.metadata.labels, ...(old.metadata.labels?.[label] !== undefined && { [label]: hash }) },
      },
      spec: {
        ...old.spec,
        replicas: 0,
        selector: { ...old.spec.selector, [label]: hash },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    },
  };
}

function withImages({ metadata, spec }: ReplicationController, images: readonly string[]): PodTemplateSpec {
  let { containers } = spec.template.spec;
  for (const word of images) {
    const [, named, image = word] = /^([a-z0-9-]+)=(.+)$/.exec(word) ?? [];
    const names = containers.map((container) => container.name).join(', ');
    if (named === undefined && containers.length > 1)
      throw new UsageError(
        `--image ${word}: ${metadata.name} has several containers (${names}); say which: name=image`,
      );
    if (named !== undefined && !containers.some((container) => container.name === named))
      throw new UsageError(`--image ${word}: ${metadata.name} has no container "${named}" (it has ${names})`);
    containers = containers.map((container) =>
      named === undefined || container.name === named ? { ...container, image } : container,
    );
  }
  if (sameJson(containers, spec.template.spec.containers))
    throw new UsageError(`nothing to update: ${metadata.name} has ${images.join(' and ')} already`);
  return { ...spec.template, spec: { ...spec.template.spec, containers } };
}

async function written(session: Session, old: ReplicationController, path: string): Promise<Drafted> {
  const { readManifests, readSources } = await import('../manifest.ts');
  const objects = await readManifests(session, await readSources([path], false, session.shell));
  const [first, ...more] = objects;
  if (first === undefined || more.length > 0 || first.resource !== 'replicationcontrollers')
    throw new UsageError(`-f ${path}: must hold one ReplicationController, the new one`);
  if (first.namespace !== undefined && first.namespace !== session.globals.namespace)
    throw new UsageError(
      `${first.place}: it is of namespace ${first.namespace}, and ${old.metadata.name} of ${session.globals.namespace}`,
    );
  if (first.name === old.metadata.name)
    throw new UsageError(
      `${first.place}: it has the name of the old one; give it another (--rename gives it back in the end)`,
    );
  const draft = first.object as unknown as Draft<ReplicationController>;
  const replicas = draft.spec?.replicas ?? old.spec.replicas;
  const spec = { ...draft.spec, replicas: 0 } as ReplicationController['spec'];
  return { draft: { ...draft, spec }, replicas };
}

/** Pods of both must be told apart by their labels: see to the old ones where they have none for that. */
function labelFor(
  old: ReplicationController,
  { metadata, spec }: Draft<ReplicationController>,
  copyLabel: string,
): RollingAgreement['label'] {
  const labels = (spec?.template?.metadata?.labels ?? {}) as Labels;
  const given = (spec?.selector ?? {}) as Labels;
  const selector = Object.keys(given).length > 0 ? given : labels; // as the server fills it in
  const olds = old.spec.template.metadata?.labels ?? {};
  if (matchesMap(selector, olds))
    throw new UsageError(
      `${metadata.name ?? ''}: its selector finds the pods of ${old.metadata.name} too; give selector and template a label with a value of its own`,
    );
  if (!matchesMap(old.spec.selector, labels)) return undefined;
  const key =
    selector[copyLabel] === undefined ? Object.keys(selector).find((each) => olds[each] !== selector[each]) : copyLabel;
  return key === undefined ? undefined : { key, value: olds[key] ?? hashOf(old.spec.template, 0) };
}

const without = (labels: Readonly<Record<string, string>> = {}, key: string): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(labels).filter(([name]) => name !== key));

/** One update of a controller at a time: a second would wait, and nobody means that. */
function refuseSecond(items: readonly ReplicationController[], old: ReplicationController, name: string): void {
  const from = old.metadata.name;
  const other = items.find((rc) => agreementOf(rc)?.from === from);
  const words = '--resume, --pause or --rollback it, or look on with its name alone';
  if (other !== undefined)
    throw new ApiError('Conflict', `a rolling update of ${from} to ${other.metadata.name} is under way: ${words}`);
  const before = agreementOf(old)?.from;
  if (before !== undefined)
    throw new ApiError('Conflict', `${from} is itself taking the place of ${before}, and that is not over: ${words}`);
  if (items.some(({ metadata }) => metadata.name === name))
    throw new ApiError(
      'AlreadyExists',
      `there is a ReplicationController ${makeKey(old.metadata.namespace ?? '', name)} already; give the new one another name`,
    );
}
