import type { Kind } from './kinds.ts';

/** What is kept without being acted upon, as a warning: nobody should rely on it. */
export const remarksOn = ({ group, kind }: Kind): readonly string[] =>
  group === 'rbac.authorization.k8s.io' ? [`${kind}: rules of access are kept and shown, but not enforced yet`] : [];
