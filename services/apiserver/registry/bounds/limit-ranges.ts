import { applyLimits, brokenLimits, isLimited } from '../../../../lib/api/bounds/limits.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import { objectAt, textAt, type Json, type MutableJson } from '../../../../lib/api/json.ts';
import type { LimitRange } from '../../../../lib/api/objects.ts';
import { ApiError } from '../../../../lib/base/errors.ts';
import { objectOf } from '../../cache/filing.ts';
import { selecting } from '../../cache/selecting.ts';
import type { Core } from '../core.ts';
import type { Kind } from '../kinds.ts';

function rangesIn(core: Core, namespace: string): readonly LimitRange[] {
  const filing = core.cache.filing('limitranges');
  if (filing.size === 0) return [];
  const { entries } = filing.select(selecting('limitranges', { namespace }), '', Infinity);
  return entries.map((entry) => objectOf<LimitRange>(entry));
}

/** Gives a new pod, which has its defaults, what its namespace says for those that ask for nothing. */
export function limitNewPod(core: Core, pod: MutableJson, namespace: string): void {
  const ranges = rangesIn(core, namespace);
  if (ranges.length === 0) return;
  applyLimits(ranges, pod);
  const status = objectAt(pod, 'status') as MutableJson;
  delete status['qosClass']; // it follows from what the pod asks for
  applyDefaults('pods', pod);
}

/** Forbidden, in the words that clients know, when an object is outside of the bounds of its namespace. */
export function checkLimits(core: Core, { resource }: Kind, object: Json): void {
  if (!isLimited(resource)) return;
  const metadata = objectAt(object, 'metadata');
  const ranges = rangesIn(core, textAt(metadata, 'namespace'));
  if (ranges.length === 0) return;
  const broken = brokenLimits(ranges, resource, object);
  if (broken.length === 0) return;
  const name = textAt(metadata, 'name');
  const why = broken.length === 1 ? (broken[0] ?? '') : `[${broken.join(', ')}]`;
  throw new ApiError('Forbidden', `${resource} ${JSON.stringify(name)} is forbidden: ${why}`, { resource, name });
}
