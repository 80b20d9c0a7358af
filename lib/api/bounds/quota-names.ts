/** For which pods a quota may be (Kubernetes v1, "Resource Quotas"). */
export const quotaScopes = [
  ...['Terminating', 'NotTerminating', 'BestEffort', 'NotBestEffort', 'PriorityClass', 'CrossNamespacePodAffinity'],
] as const;

/** Kinds whose objects are counted under the name of their resource alone. */
export const plainCounts: ReadonlySet<string> = new Set([
  ...['pods', 'services', 'secrets', 'configmaps', 'persistentvolumeclaims', 'replicationcontrollers'],
  'resourcequotas',
]);
const ofServices = ['services.nodeports', 'services.loadbalancers'];
const ofClass =
  /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?\.storageclass\.storage\.k8s\.io\/(requests\.storage|persistentvolumeclaims)$/;
const ofCount = /^count\/[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$/;

const compute = ['cpu', 'memory', 'ephemeral-storage'];
const hugePages = /^hugepages-[0-9A-Za-z]+$/;

/** Of what containers ask for and may use: `requests.cpu`, for which `cpu` is an old name, `limits.memory`, `requests.example.com/gpu`. */
export function isCompute(name: string): boolean {
  const bare = name.replace(/^(requests|limits)\./, '');
  if (compute.includes(bare)) return true;
  if (hugePages.test(bare)) return !name.startsWith('limits.');
  return name.startsWith('requests.') && bare.includes('/'); // extended resources have no limits of their own
}

/** Whether a quota can count something of this name. */
export const isCounted = (name: string): boolean =>
  plainCounts.has(name) ||
  ofServices.includes(name) ||
  name === 'requests.storage' ||
  ofCount.test(name) ||
  ofClass.test(name) ||
  isCompute(name);

/** Whether it is about pods, so that scopes mean something. */
export const canBeScoped = (name: string): boolean => name === 'pods' || name === 'count/pods' || isCompute(name);
