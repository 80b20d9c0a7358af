export type { KindInfo } from '../kinds.ts';

/** The resource behind a name such as `pods`, `leases.coordination.k8s.io` or `widgets.example.com`. */
export type ResourceLookup = (name: string) => string | undefined;
