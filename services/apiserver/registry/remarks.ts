import { hasExpressions } from '../../../lib/api/custom/structural.ts';
import { objectAt, objectsAt, type Json } from '../../../lib/api/json.ts';
import type { Kind } from './kinds.ts';

/** What is kept without being acted upon, as a warning: nobody should rely on it. */
export function remarksOn(kind: Kind, object: Json): readonly string[] {
  if (kind.group === 'rbac.authorization.k8s.io')
    return [`${kind.kind}: rules of access are kept and shown, but not enforced yet`];
  if (kind.resource !== 'customresourcedefinitions') return [];
  return objectsAt(objectAt(object, 'spec'), 'versions').some((version) => hasExpressions(version['schema']))
    ? ['spec.versions: rules of x-kubernetes-validations are kept and shown, but not evaluated']
    : [];
}
