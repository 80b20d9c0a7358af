/**
 * Keeps a Deployment and a Service for every Website, and says in its status how it is. Run it anywhere with a kubeconfig:
 * `KUBECONFIG=… npx tsx main.ts`. Any number of copies may run: writes are conditional, and who knows less does not write.
 */
import {
  ApiException,
  AppsV1Api,
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  makeInformer,
  type KubernetesListObject,
  type KubernetesObject,
} from '@kubernetes/client-node';
import { isWithin, statusOf, stepTo } from './decide.ts';
import { group, plural, siteLabel, version, wantedDeployment, wantedService, type Website } from './website.ts';

const config = new KubeConfig();
config.loadFromDefault();
const apps = config.makeApiClient(AppsV1Api);
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);

/** How long one round over one Website may take before it is begun anew. */
const deadlineMs = 15_000;
/** After a failure the next attempt comes later and later, up to this. */
const longestPauseMs = 10_000;
/** Everything is looked at again this often, whatever was or was not heard. */
const resyncMs = 30_000;

// ---- One Website -------------------------------------------------------------------------------

interface Place {
  readonly namespace: string;
  readonly name: string;
}

/** Reads what is, decides, writes. It does not ask why it was called: the state says what to do. */
async function sync(place: Place): Promise<void> {
  const site = await orNothing(
    custom.getNamespacedCustomObject({ group, version, plural, ...place }) as Promise<Website>,
  );
  if (site === undefined || site.metadata.deletionTimestamp !== undefined) return; // the cluster removes what it owned
  const { namespace } = place;

  let deployment = await orNothing(apps.readNamespacedDeployment(place));
  const deploymentStep = stepTo(site, wantedDeployment(site), deployment);
  if (deploymentStep.type === 'create') {
    deployment = await apps.createNamespacedDeployment({ namespace, body: deploymentStep.object });
  } else if (deploymentStep.type === 'replace') {
    deployment = await apps.replaceNamespacedDeployment({ ...place, body: deploymentStep.object });
  }

  let service = await orNothing(core.readNamespacedService(place));
  const serviceStep = stepTo(site, wantedService(site), service);
  if (serviceStep.type === 'create') {
    service = await core.createNamespacedService({ namespace, body: serviceStep.object });
  } else if (serviceStep.type === 'replace') {
    service = await core.replaceNamespacedService({ ...place, body: serviceStep.object });
  }

  const refusals = [deploymentStep, serviceStep].flatMap((step) => (step.type === 'refuse' ? [step.why] : []));
  const status = statusOf(
    site,
    deploymentStep.type === 'refuse' ? undefined : deployment,
    serviceStep.type === 'refuse' ? undefined : service,
    refusals.join('; '),
  );
  if (isWithin(status, site.status)) return;
  const body = { ...site, status }; // with the resourceVersion that was read
  await custom.replaceNamespacedCustomObjectStatus({ group, version, plural, ...place, body });
  console.log(`${namespace}/${place.name}: ${status.readyReplicas} of ${site.spec.replicas} ready ${status.message}`);
}

async function orNothing<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (codeOf(error) === 404) return undefined;
    throw error;
  }
}

const codeOf = (error: unknown): number | undefined => (error instanceof ApiException ? error.code : undefined);

// ---- The loop ----------------------------------------------------------------------------------

const waiting = new Map<string, Place>();
const failures = new Map<string, number>();
let isWorking = false;

/** A Website that is named again while it waits is looked at once; while it is worked on, once more. */
function wake(place: Place): void {
  waiting.set(`${place.namespace}/${place.name}`, place);
  if (!isWorking) void work();
}

async function work(): Promise<void> {
  isWorking = true;
  for (let next = waiting.entries().next(); next.done !== true; next = waiting.entries().next()) {
    const [key, place] = next.value;
    waiting.delete(key);
    try {
      await within(deadlineMs, sync(place));
      failures.delete(key);
    } catch (error) {
      const count = (failures.get(key) ?? 0) + 1;
      failures.set(key, count);
      // 409: somebody was quicker. That is no failure, but what we saw is old: look again.
      if (codeOf(error) !== 409) console.error(`${key}: ${String(error)}`);
      setTimeout(wake, pauseAfter(count), place);
    }
  }
  isWorking = false;
}

const pauseAfter = (count: number): number =>
  Math.min(longestPauseMs, 50 * 2 ** Math.min(count, 10)) * (0.5 + Math.random() / 2);

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

// ---- What wakes it -----------------------------------------------------------------------------

interface Source<T extends KubernetesObject> {
  readonly path: string;
  readonly list: () => Promise<KubernetesListObject<T>>;
  /** The name of the Website that an object is about. */
  readonly siteOf: (object: T) => string | undefined;
  readonly labelSelector?: string;
}

function follow<T extends KubernetesObject>({ path, list, siteOf, labelSelector }: Source<T>): void {
  const informer = makeInformer(config, path, list, labelSelector);
  let failed = 0;
  const tell = (object: T): void => {
    const { namespace } = object.metadata ?? {};
    const name = siteOf(object);
    failed = 0;
    if (namespace !== undefined && name !== undefined) wake({ namespace, name });
  };
  informer.on('change', tell);
  informer.on('error', (error: unknown) => {
    console.error(`${path}: ${String(error)}`); // also while the definition is not there yet
    failed += 1;
    setTimeout(() => void informer.start(), pauseAfter(failed));
  });
  void informer.start();
  setInterval(() => informer.list().forEach(tell), resyncMs);
}

const bySiteLabel = (object: KubernetesObject): string | undefined => object.metadata?.labels?.[siteLabel];

follow<Website>({
  path: `/apis/${group}/${version}/${plural}`,
  list: async () =>
    (await custom.listCustomObjectForAllNamespaces({
      ...{ group, version, plural },
    })) as KubernetesListObject<Website>,
  siteOf: ({ metadata }) => metadata.name,
});
follow({
  path: '/apis/apps/v1/deployments',
  list: () => apps.listDeploymentForAllNamespaces({ labelSelector: siteLabel }),
  siteOf: bySiteLabel,
  labelSelector: siteLabel,
});
follow({
  path: '/api/v1/services',
  list: () => core.listServiceForAllNamespaces({ labelSelector: siteLabel }),
  siteOf: bySiteLabel,
  labelSelector: siteLabel,
});
console.log('keeping Websites');
