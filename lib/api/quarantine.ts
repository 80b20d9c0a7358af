import { matches, type Selector } from './labels.ts';
import type { Labels, Pod } from './objects.ts';
import { isObject } from './json.ts';

/** On a pod that was taken out of traffic and away from its controller to be looked at. Value `true`. */
export const quarantineLabel = 'troupe.dev/quarantine';
/** The labels that were taken off it for that, as a JSON object: to be given back by a release. */
export const setAsideAnnotation = 'troupe.dev/labels-set-aside';

export const isQuarantined = ({ metadata }: Pick<Pod, 'metadata'>): boolean =>
  metadata.labels?.[quarantineLabel] === 'true';

/** Something that finds its pods by labels. */
export interface Selecting {
  /** In words, such as `service/web`. */
  readonly who: string;
  readonly selector: Selector;
}

export interface SettingAside {
  /** The labels to be taken off. */
  readonly labels: Labels;
  /** Who has the pod now and will not have it any more. */
  readonly from: readonly string[];
  /** Who would have it even so, or only then: a selector that asks for a label to be absent. Then it is not to be done. */
  readonly held: readonly string[];
}

/** What has to be taken off these labels so that none of `all` has the pod. Annotations, and labels that nobody asks for, stay. */
export function settingAside(labels: Labels, all: readonly Selecting[]): SettingAside {
  const having = all.filter(({ selector }) => matches(selector, labels));
  const asked = new Set(having.flatMap(({ selector }) => selector.filter(wantsPresence).map(({ key }) => key)));
  const aside = Object.fromEntries(Object.entries(labels).filter(([key]) => asked.has(key)));
  const left = {
    ...Object.fromEntries(Object.entries(labels).filter(([key]) => !asked.has(key))),
    [quarantineLabel]: 'true',
  };
  return {
    labels: aside,
    from: having.map(({ who }) => who),
    held: all.filter(({ selector }) => matches(selector, left)).map(({ who }) => who),
  };
}

const wantsPresence = ({ operator }: Selector[number]): boolean => operator !== 'NotIn' && operator !== 'DoesNotExist';

/** The labels that were set aside; undefined where nothing says which. */
export function setAsideLabels({ metadata }: Pick<Pod, 'metadata'>): Labels | undefined {
  try {
    const value: unknown = JSON.parse(metadata.annotations?.[setAsideAnnotation] ?? '');
    if (!isObject(value) || !Object.values(value).every((label) => typeof label === 'string')) return undefined;
    return value as Labels;
  } catch {
    return undefined; // absent, or written by someone else
  }
}
