import type { V1Deployment, V1ObjectMeta, V1Service } from '@kubernetes/client-node';

/** The kind of crd.yaml, as the API gives it: defaults are filled in. */
export interface Website {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: V1ObjectMeta;
  readonly spec: {
    readonly image: string;
    readonly command?: readonly string[];
    readonly port: number;
    readonly replicas: number;
  };
  readonly status?: WebsiteStatus;
}

export interface WebsiteStatus {
  /** The generation of the Website that the rest speaks of. */
  readonly observedGeneration: number;
  readonly replicas: number;
  readonly readyReplicas: number;
  /** Of its pods; autoscalers read it through the scale subresource. */
  readonly selector: string;
  readonly address: string;
  /** What is in the way; empty when nothing is. */
  readonly message: string;
}

export const group = 'example.com';
export const version = 'v1';
export const plural = 'websites';
/** On everything that is made for Websites, so that only that is watched. */
export const siteLabel = 'example.com/website';
/** Which generation of the Website an object was made from. It only ever grows: who knows less does not write. */
export const generationAnnotation = 'example.com/website-generation';

export function wantedDeployment(site: Website): V1Deployment {
  const labels = { [siteLabel]: nameOf(site) };
  const { image, command = [], port, replicas } = site.spec;
  // Without a command the list is empty, not absent: one that was there before has to go.
  const container = { name: 'site', image, command: [...command], ports: [{ containerPort: port }] };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataFor(site),
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [container] },
      },
    },
  };
}

export function wantedService(site: Website): V1Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataFor(site),
    spec: { selector: { [siteLabel]: nameOf(site) }, ports: [{ port: 80, targetPort: site.spec.port }] },
  };
}

/** The owner reference lets the cluster remove the object when the Website is gone: there is nothing to clean up here. */
function metadataFor(site: Website): V1ObjectMeta {
  const { namespace, uid } = site.metadata;
  return {
    name: nameOf(site),
    ...(namespace === undefined ? {} : { namespace }),
    labels: { [siteLabel]: nameOf(site) },
    annotations: { [generationAnnotation]: String(site.metadata.generation ?? 0) },
    ownerReferences: [
      { apiVersion: site.apiVersion, kind: site.kind, name: nameOf(site), uid: uid ?? '', controller: true },
    ],
  };
}

const nameOf = (site: Website): string => site.metadata.name ?? '';
