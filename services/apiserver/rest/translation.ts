import {
  autoscalingV1,
  fromAutoscalingV1,
  patchFromAutoscalingV1,
  toAutoscalingV1,
} from '../../../lib/api/autoscaling-v1.ts';
import { apiVersionOf } from '../../../lib/api/kinds.ts';
import type { Kind } from '../registry/kinds.ts';
import { eventsGroup, fromEventsGroup, patchFromEventsGroup, toEventsGroup } from './events-group.ts';

/** How objects are written where a path shows them in another form than the one in which they are kept. */
export interface Translation {
  /** The same for paths that show the same. */
  readonly id: string;
  out(json: Buffer): Buffer;
  /** What a client sends, as it is kept. */
  in(value: unknown): unknown;
  /** The same for a change of it. */
  inPatch(patch: unknown): unknown;
}

const same = (value: unknown): unknown => value;

/** Undefined where objects are shown as they are kept. */
export function translationFor(kind: Kind): Translation | undefined {
  if (kind.at !== undefined)
    return { id: kind.version, out: (json) => inVersion(json, apiVersionOf(kind)), in: same, inPatch: same };
  if (kind.resource === 'events' && kind.group === eventsGroup)
    return {
      id: eventsGroup,
      out: (json) => Buffer.from(JSON.stringify(toEventsGroup(JSON.parse(json.toString('utf8')) as object))),
      in: fromEventsGroup,
      inPatch: patchFromEventsGroup,
    };
  if (kind.resource === 'horizontalpodautoscalers' && kind.version === 'v1')
    return {
      id: autoscalingV1,
      out: (json) => Buffer.from(JSON.stringify(toAutoscalingV1(JSON.parse(json.toString('utf8')) as object))),
      in: fromAutoscalingV1,
      inPatch: patchFromAutoscalingV1,
    };
  return undefined;
}

const opening = '{"apiVersion":"';

/** Between the versions of a kind nothing differs but their name, which stands first (lib/api/stored.ts). */
function inVersion(json: Buffer, apiVersion: string): Buffer {
  const end = json.indexOf('"', opening.length);
  if (json.toString('latin1', opening.length, end) === apiVersion) return json;
  return Buffer.concat([Buffer.from(opening + apiVersion), json.subarray(end)]);
}
