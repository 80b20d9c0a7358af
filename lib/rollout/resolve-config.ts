import {
  configReferences,
  referenceId,
  wishAbout,
  wishOf,
  withConfigNames,
  type ConfigReference,
} from '../api/config-change.ts';
import { isObject, sameJson } from '../api/json.ts';
import type { Labels, PodTemplateSpec } from '../api/objects.ts';
import { copyNameOf, nameWith, wordFor, type Config, type CopyNames } from './config-copies.ts';
import { hashOf } from './hash.ts';

/** On what stands for a template in the history of a workload: which copies its template names, and for what. */
export const configAnnotation = 'troupe.dev/config';
/** On a Deployment or DaemonSet: where its pods stay with former data, though the objects have others. */
export const heldAnnotation = 'troupe.dev/config-held';

/** What configuration may be a part of: a Deployment, a DaemonSet. */
export interface Workload {
  readonly metadata: Annotated;
  readonly spec: { readonly template: PodTemplateSpec };
}
interface Annotated {
  readonly annotations?: Labels;
}
/** The copies that each template of its history names, the oldest first. */
export type History = readonly CopyNames[];

/** What a template names, as it is now; undefined: there is none. */
export interface SeenConfig {
  readonly reference: ConfigReference;
  readonly live: Config | undefined;
}

/** Former data instead of those that failed, or that somebody went back from; until either the objects or the template change. */
export interface Held {
  readonly why: 'reverted' | 'undone';
  /** The hash of the template, in the user's words, that this is about. */
  readonly template: string;
  readonly instead: Readonly<Record<string, { readonly of: string; readonly use: string }>>;
}

export interface Resolved {
  /** Of the workload, in the user's words. */
  readonly plain: PodTemplateSpec;
  /** What its pods are made of: with the names of copies. */
  readonly template: PodTemplateSpec;
  readonly copies: CopyNames;
  /** What is to be there as a copy before a pod of it is made. */
  readonly needed: readonly { readonly reference: ConfigReference; readonly name: string; readonly source?: Config }[];
  /** What the workload says to be held is so. */
  readonly isHeld?: boolean;
  /** Why its pods do not have what the objects hold now. */
  readonly held?: { readonly reason: string; readonly message: string };
  /** The workload has a template with names of copies, as `kubectl rollout undo` writes: this is to be written instead. */
  readonly undone?: { readonly template: PodTemplateSpec; readonly held: Held | undefined };
}

/** What has to be known to resolve the template of a workload; nothing where configuration is no part of it. */
export function configIn({ spec: { template } }: Workload, history: History): readonly ConfigReference[] {
  return wishOf(template.metadata) === 'roll' ? configReferences(inWords(template, history).spec) : [];
}

/**
 * The template of a workload with the data that its pods are to have: each object that it names gives way to a copy of what it holds
 * now, so that other data make another template. Depends on its arguments only. What is not there (any more) keeps the copy that
 * the newest template of its history names for it, if any; what is held keeps that.
 */
export function resolveConfig(workload: Workload, history: History, seen: readonly SeenConfig[]): Resolved {
  const { template } = workload.spec;
  if (wishOf(template.metadata) !== 'roll') return { plain: template, template, copies: {}, needed: [] };
  const plain = inWords(template, history);
  const now = liveNames(plain, seen);
  if (!sameJson(plain, template)) {
    const words = wordFor(history);
    const named = configReferences(template.spec).flatMap((reference) => {
      const name = words(reference);
      return name === reference.name ? [] : [[`${reference.resource}/${name}`, reference.name] as const];
    });
    const held = heldFor(plain, Object.fromEntries(named), now, 'undone');
    return { plain, template, copies: {}, needed: [], undone: { template: plain, held } };
  }
  const held = heldOf(workload);
  const kept = held?.template === hashOf(plain, 0) ? held.instead : {};
  const last: CopyNames = Object.assign({}, ...history) as CopyNames; // of the newest that has one, for each
  const chosen = seen.flatMap(({ reference, live }) => {
    const id = referenceId(reference);
    const liveName = now[id];
    const instead = kept[id];
    const isKept = instead !== undefined && instead.of === (liveName ?? '');
    const name = isKept ? instead.use : live === undefined ? last[id] : liveName;
    if (name === undefined) return [];
    return [{ id, reference, name, isKept, ...(name === liveName && live !== undefined && { source: live }) }];
  });
  const copies = Object.fromEntries(chosen.map(({ id, name }) => [id, name]));
  const standing = chosen.filter(({ source }) => source === undefined);
  const lost = standing.some(({ id }) => now[id] === undefined);
  return {
    plain,
    template: { ...plain, spec: withConfigNames(plain.spec, nameWith(copies)) },
    copies,
    needed: chosen.map(({ id: _, isKept: __, ...need }) => need),
    isHeld: chosen.some(({ isKept }) => isKept),
    ...(standing.length > 0 && {
      held: {
        reason: lost ? 'ConfigMissing' : held?.why === 'undone' ? 'RolledBack' : 'RolloutReverted',
        message: standing.map(({ reference, name }) => heldText(reference, name, now)).join('; '),
      },
    }),
  };
}

function heldText(reference: ConfigReference, copy: string, now: CopyNames): string {
  const what = `${kindWords[reference.resource]} "${reference.name}"`;
  return now[referenceId(reference)] === undefined
    ? `${what} is not there any more: pods keep what it was, "${copy}"`
    : `${what} has other data: pods keep the former, "${copy}", until it or the template is changed`;
}
const kindWords = { configmaps: 'ConfigMap', secrets: 'Secret' } as const;

/** The copies of what is there now; what says of itself that it does not roll has none. */
function liveNames(plain: PodTemplateSpec, seen: readonly SeenConfig[]): CopyNames {
  return Object.fromEntries(
    seen.flatMap(({ reference, live }) =>
      live === undefined || wishAbout(plain.metadata, live.metadata) !== 'roll'
        ? []
        : [[referenceId(reference), copyNameOf(reference.name, live)]],
    ),
  );
}

/** How to go back to a former template with its data: the template in the user's words, and what is held for it. */
export function dataBackTo(
  target: { readonly template: PodTemplateSpec; readonly copies: CopyNames },
  seen: readonly SeenConfig[],
): { readonly template: PodTemplateSpec; readonly held: Held | undefined } {
  const template = inWords(target.template, [target.copies]);
  return { template, held: heldFor(template, target.copies, liveNames(template, seen), 'reverted') };
}

function heldFor(plain: PodTemplateSpec, wanted: CopyNames, now: CopyNames, why: Held['why']): Held | undefined {
  const instead = Object.entries(wanted)
    .filter(([id, use]) => now[id] !== use)
    .map(([id, use]) => [id, { of: now[id] ?? '', use }] as const);
  return instead.length === 0 ? undefined : { why, template: hashOf(plain, 0), instead: Object.fromEntries(instead) };
}

/** A template with the names that the user gave, wherever it names copies of its history. */
const inWords = (template: PodTemplateSpec, history: History): PodTemplateSpec => {
  const known = history.filter((copies) => Object.keys(copies).length > 0);
  return known.length === 0 ? template : { ...template, spec: withConfigNames(template.spec, wordFor(known)) };
};

export const copiesOf = ({ metadata }: { readonly metadata: Annotated }): CopyNames => {
  const value = parsed(metadata.annotations?.[configAnnotation]);
  return isObject(value) && Object.values(value).every((name) => typeof name === 'string') ? (value as CopyNames) : {};
};

export function heldOf({ metadata }: { readonly metadata: Annotated }): Held | undefined {
  const value = parsed(metadata.annotations?.[heldAnnotation]);
  if (!isObject(value) || !isObject(value['instead']) || typeof value['template'] !== 'string') return undefined;
  return value as unknown as Held;
}

/** undefined: absent, or written by someone else. */
function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
