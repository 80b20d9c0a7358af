import { createHash } from 'node:crypto';
import { referenceId, type ConfigReference } from '../api/config-change.ts';
import { apiVersionOf, kinds } from '../api/kinds.ts';
import type { ConfigMap, OwnerReference, Secret } from '../api/objects.ts';

export type Config = ConfigMap | Secret;

/** On a copy: the name of what it was made from. */
export const copyOfLabel = 'troupe.dev/copy-of';

/** No vowels, so that no words come out, and no digits that look like letters. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const digestLength = 10;
const maxName = 253;

/** The same for the same data, whatever the order of its keys and whatever else the object says. 47 bits. */
export function digestOf(config: Config): string {
  const known = digests.get(config);
  if (known !== undefined) return known;
  const { data = {}, binaryData = {} } = config as ConfigMap;
  const sorted = [data, binaryData].map((part) => Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  const hash = createHash('sha256').update(JSON.stringify(sorted)).digest();
  let rest = hash.readBigUInt64BE();
  let text = '';
  for (; text.length < digestLength; rest /= BigInt(alphabet.length))
    text += alphabet.charAt(Number(rest % BigInt(alphabet.length)));
  digests.set(config, text);
  return text;
}
/** Objects in views are never changed in place. */
const digests = new WeakMap<Config, string>();

/** The name under which the object's data, as it is, is kept: `<name>-<digest>`. */
export function copyNameOf(name: string, config: Config): string {
  const base = name.slice(0, maxName - digestLength - 1).replace(/[.-]+$/, '');
  return `${base}-${digestOf(config)}`;
}

interface CopyDraft {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Partial<Config['metadata']>;
  readonly immutable: true;
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

/** A copy that nobody can change, and that goes with its owners. A Secret's copy has no type: nothing but pods is to take it for one. */
export function copyOf(reference: ConfigReference, config: Config, owner: OwnerReference): CopyDraft {
  const { data, binaryData } = config as ConfigMap;
  const { namespace } = config.metadata;
  return {
    apiVersion: apiVersionOf(kinds[reference.resource]),
    kind: kinds[reference.resource].kind,
    metadata: {
      name: copyNameOf(reference.name, config),
      ...(namespace === undefined ? {} : { namespace }),
      // A label holds 63 characters, a name may have more.
      labels: { [copyOfLabel]: reference.name.slice(0, 63).replace(/[^A-Za-z0-9]+$/, '') },
      ownerReferences: [owner],
    },
    immutable: true,
    ...(data && { data }),
    ...(binaryData && { binaryData }),
  };
}

/** Which copy stands for what a template names: by `referenceId` of the name in the user's words. */
export type CopyNames = Readonly<Record<string, string>>;

/** The name of the copy for `reference`; its own where there is none. */
export const nameWith =
  (copies: CopyNames) =>
  (reference: ConfigReference): string =>
    copies[referenceId(reference)] ?? reference.name;

/** The user's word for a copy that one of these stands for; any other name as it is. */
export function wordFor(known: readonly CopyNames[]): (reference: ConfigReference) => string {
  const words = new Map<string, string>(
    known.flatMap((copies) =>
      Object.entries(copies).map(([id, copy]) => {
        const slash = id.indexOf('/');
        return [`${id.slice(0, slash)}/${copy}`, id.slice(slash + 1)] as [string, string];
      }),
    ),
  );
  return (reference) => words.get(referenceId(reference)) ?? reference.name;
}
