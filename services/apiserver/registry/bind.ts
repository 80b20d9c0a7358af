import { objectAt, objectsAt, textAt } from '../../../lib/api/json.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import type { Binding, PodCondition, PodStatus } from '../../../lib/api/objects.ts';
import { withCondition } from '../../../lib/api/pods.ts';
import { ApiError, conflict } from '../../../lib/base/errors.ts';
import { metadataOf, rewrite, type Change, type Core, type Current } from './core.ts';
import type { WriteOptions, Written } from './registry.ts';
import { annotate } from './tracing.ts';

/**
 * `Registry.bind`: the one way by which a pod gets its node, once (F53). Binding it again to the same node changes
 * nothing. Conflict when it has another node, has scheduling gates, is going away, or is another pod than the uid says.
 */
export async function bind(core: Core, binding: Binding, options: WriteOptions): Promise<Written> {
  const { name, namespace } = binding.metadata;
  if (name === '' || namespace === '') {
    throw new ApiError('BadRequest', 'a Binding names its pod by metadata.name and metadata.namespace');
  }
  if (binding.target.name === '') throw new ApiError('BadRequest', 'target.name is required: the node');
  return rewrite(
    core,
    { resource: 'pods', key: makeKey(namespace, name) },
    (current) => bound(core, current, binding, options.traceparent),
    options,
  );
}

function bound(core: Core, current: Current, binding: Binding, traceparent: string | undefined): Change | undefined {
  const { object } = current;
  const { name, uid, annotations } = binding.metadata;
  const metadata = metadataOf(object);
  if (uid !== undefined && uid !== '' && uid !== metadata['uid']) {
    throw conflict(
      'pods',
      name,
      `the pod of this name is another one now: its uid is ${textAt(metadata, 'uid')}, not ${uid}`,
    );
  }
  if (metadata['deletionTimestamp'] !== undefined) throw conflict('pods', name, `pod ${name} is being deleted`);
  const spec = objectAt(object, 'spec');
  const node = textAt(spec, 'nodeName');
  if (node === binding.target.name) return undefined;
  if (node !== '') throw conflict('pods', name, `pod ${name} is already assigned to node "${node}"`);
  const gates = objectsAt(spec, 'schedulingGates').map((gate) => textAt(gate, 'name'));
  if (gates.length > 0) throw conflict('pods', name, `pod ${name} has scheduling gates: ${gates.join(', ')}`);
  if (annotations !== undefined && Object.keys(annotations).length > 0) {
    metadata['annotations'] = { ...objectAt(metadata, 'annotations'), ...annotations };
  }
  if (traceparent !== undefined) annotate(object, traceparent, false);
  const status = objectAt(object, 'status');
  const before = (status as unknown as PodStatus).conditions;
  const conditions = withCondition<PodCondition>(before, { type: 'PodScheduled', status: 'True' }, core.clock.now());
  return { next: { ...object, spec: { ...spec, nodeName: binding.target.name }, status: { ...status, conditions } } };
}
