import { isObject } from './json.ts';
import type { ApiObject, IntOrString, ReplicationController } from './objects.ts';

/**
 * A rolling update of ReplicationControllers (F120 to F127) is told by annotations of the new one, so that anyone can look, wait, stop
 * and go on from anywhere: what was agreed on, an order, and what the loop in the cluster says of it.
 */
export const rollingUpdateAnnotation = 'troupe.dev/rolling-update';
/** Written by people, taken away by the loop when it has been followed; `pause` and `back` hold until another comes. */
export const rollingOrderAnnotation = 'troupe.dev/rolling-update-order';
/** Written by the loop alone; at the end it stays on the controller that has the pods. */
export const rollingStatusAnnotation = 'troupe.dev/rolling-update-status';
/** On a ReplicationController that another is to hand its pods to: name and uid of that one. Until it is gone none are made or removed. */
export const takesOverAnnotation = 'troupe.dev/takes-over';

export const rollingOrders = ['resume', 'pause', 'back'] as const;
export type RollingOrder = (typeof rollingOrders)[number];

/** What whoever began the update agreed to. */
export interface RollingAgreement {
  /** The controller whose pods give way. */
  readonly from: string;
  /** How many pods there are to be in the end, and all the way. */
  readonly replicas: number;
  /** How many there were, and are to be after going back. */
  readonly fromReplicas: number;
  readonly maxSurge: IntOrString;
  readonly maxUnavailable: IntOrString;
  /** Waits for an order when so many new pods are available; undefined: does not. */
  readonly canary?: number;
  /** So long from one step to the next at least. */
  readonly periodSeconds: number;
  /** Without progress for so long it has failed. */
  readonly deadlineSeconds: number;
  /** In the end the new one takes the name of the old one. */
  readonly rename: boolean;
  /** A label that the pods of the old controller are to get, and its selector, to tell them from the new ones. */
  readonly label?: { readonly key: string; readonly value: string };
}

const phases = [
  'Waiting',
  'Progressing',
  'Canary',
  'Paused',
  'Stopped',
  'RollingBack',
  'Succeeded',
  'RolledBack',
] as const;
export type RollingPhase = (typeof phases)[number];

/** How far an update is. Pods are counted by what their controllers say. */
export interface RollingStatus {
  readonly phase: RollingPhase;
  readonly from: string;
  readonly to: string;
  /** Of the new controller, since a name may be taken again. */
  readonly uid: string;
  /** So many pods are aimed at. */
  readonly replicas: number;
  readonly newReplicas: number;
  readonly newAvailable: number;
  readonly oldReplicas: number;
  readonly oldAvailable: number;
  /** Why it waits, stopped or went back: one word, and a sentence with the cause. */
  readonly reason?: string;
  readonly message?: string;
  /** RFC 3339. The deadline counts from the last progress, the period from the last step. */
  readonly progressedAt?: string;
  readonly steppedAt?: string;
}

export const isRollingEnd = (phase: RollingPhase): boolean => phase === 'Succeeded' || phase === 'RolledBack';

const defaults = { maxSurge: 1, maxUnavailable: 0, periodSeconds: 0, deadlineSeconds: 600, rename: false };
const most = 2 ** 31 - 1;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isSome = (value: unknown): boolean => isCount(value) && (value as number) <= most;
const isShare = (value: unknown): boolean =>
  isSome(value) || (typeof value === 'string' && /^[0-9]{1,3}%$/.test(value));
const isName = (value: unknown): boolean => typeof value === 'string' && value !== '' && value.length <= 253;

/** By member: what it must be, and the words for it. */
const rules: Readonly<Record<keyof RollingAgreement, readonly [holds: (value: unknown) => boolean, words: string]>> = {
  from: [isName, 'the name of a ReplicationController'],
  replicas: [isSome, 'a number of pods'],
  fromReplicas: [isSome, 'a number of pods'],
  maxSurge: [isShare, 'a number of pods or a percentage'],
  maxUnavailable: [isShare, 'a number of pods or a percentage'],
  canary: [(value) => isSome(value) && value !== 0, 'a number of pods, 1 or more'],
  periodSeconds: [isSome, 'a number of seconds'],
  deadlineSeconds: [(value) => isSome(value) && value !== 0, 'a number of seconds, 1 or more'],
  rename: [(value) => typeof value === 'boolean', 'true or false'],
  label: [(value) => isObject(value) && isName(value['key']) && isName(value['value']), 'an object with key and value'],
};

export type ReadAgreement =
  | { readonly agreement: RollingAgreement; readonly problem?: undefined }
  | { readonly agreement?: undefined; readonly problem: string };

/** Reads the agreement, with defaults for what it leaves out; or says what is wrong with it. */
export function readAgreement(text: string): ReadAgreement {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: 'must be a JSON object' };
  }
  if (!isObject(value)) return { problem: 'must be a JSON object' };
  const told = { ...defaults, fromReplicas: value['replicas'], ...value };
  for (const name of Object.keys(told))
    if (!Object.hasOwn(rules, name))
      return { problem: `has no member "${name}"; known are ${Object.keys(rules).join(', ')}` };
  for (const [name, [holds, words]] of Object.entries(rules)) {
    const given = (told as Readonly<Record<string, unknown>>)[name];
    if (given === undefined && (name === 'canary' || name === 'label')) continue;
    if (!holds(given))
      return { problem: `${name} must be ${words}${given === undefined ? '' : `, not ${JSON.stringify(given)}`}` };
  }
  const agreement = told as unknown as RollingAgreement;
  const isNone = (share: IntOrString): boolean => share === 0 || /^0+%$/.test(String(share));
  if (isNone(agreement.maxSurge) && isNone(agreement.maxUnavailable))
    return { problem: 'maxSurge and maxUnavailable may not both be 0: no step could be made' };
  return { agreement };
}

const annotation = ({ metadata }: ApiObject, name: string): string | undefined => metadata.annotations?.[name];

/** Undefined for a controller that is not being rolled out. */
export function agreementOf(rc: ApiObject): RollingAgreement | undefined {
  const text = annotation(rc, rollingUpdateAnnotation);
  return text === undefined ? undefined : readAgreement(text).agreement;
}

export const orderOf = (rc: ReplicationController): RollingOrder | undefined =>
  rollingOrders.find((order) => order === annotation(rc, rollingOrderAnnotation));

/** Undefined where nothing, or nothing of ours, is told. */
export function rollingStatusOf(rc: ReplicationController): RollingStatus | undefined {
  const value = parsed(annotation(rc, rollingStatusAnnotation));
  return value !== undefined && phases.some((phase) => phase === value['phase'])
    ? (value as unknown as RollingStatus)
    : undefined;
}

/** The controller whose pods this one waits for. */
export function predecessorOf(rc: ApiObject): { readonly name: string; readonly uid: string } | undefined {
  const value = parsed(annotation(rc, takesOverAnnotation));
  return isName(value?.['name']) && isName(value?.['uid']) ? (value as { name: string; uid: string }) : undefined;
}

function parsed(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
