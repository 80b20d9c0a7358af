import { makeKey } from '../lib/api/keys.ts';
import type { Container, Pod } from '../lib/api/objects.ts';
import { serviceLinksAnnotation } from '../lib/api/service-links.ts';
import { environment } from './environment.ts';
import { mostBytes, mostVariables, serviceLinks } from './service-links.ts';
import { podReference, type AgentParts } from './parts.ts';
import type { ConfigReader } from './volumes/driver.ts';

const fetchTimeoutMs = 5_000;

/** Reads a pod's configuration from the API, each object once. Rejects with ApiError while the API is away. */
export function configReader(parts: AgentParts, pod: Pod, podIp: string): ConfigReader {
  const once = <T>(read: (key: string) => Promise<T | undefined>): ((name: string) => Promise<T | undefined>) => {
    const cache = new Map<string, Promise<T | undefined>>();
    return (name) => {
      const found = cache.get(name) ?? read(makeKey(pod.metadata.namespace, name));
      cache.set(name, found);
      return found;
    };
  };
  const call = { timeoutMs: fetchTimeoutMs };
  return {
    configMap: once((key) => parts.client.get('configmaps', key, call)),
    secret: once((key) => parts.client.get('secrets', key, call)),
    object: (resource, key) => parts.client.get(resource, key, call),
    serviceAccountToken: (wish) => parts.tokens.token(pod, wish),
    podIp,
    hostIp: parts.node.hostIp,
    node: parts.node,
  };
}

/** The variables of one container; fetches the ConfigMaps and Secrets that it names. Throws ConfigMissing, ApiError. */
export async function environmentOf(
  parts: AgentParts,
  pod: Pod,
  container: Container,
  podIp: string,
): Promise<readonly string[]> {
  const config = configReader(parts, pod, podIp);
  const names = (pick: 'configMap' | 'secret'): readonly string[] =>
    [
      ...new Set([
        ...(container.envFrom ?? []).map((source) => source[`${pick}Ref`]?.name),
        ...(container.env ?? []).map((variable) => variable.valueFrom?.[`${pick}KeyRef`]?.name),
      ]),
    ].filter((name): name is string => name !== undefined && name !== '');
  const found = async <T>(
    list: readonly string[],
    read: (name: string) => Promise<T | undefined>,
  ): Promise<Map<string, T>> => {
    const values = new Map<string, T>();
    for (const name of list) {
      const value = await read(name);
      if (value !== undefined) values.set(name, value);
    }
    return values;
  };
  const [configMaps, secrets] = await Promise.all([
    found(names('configMap'), config.configMap),
    found(names('secret'), config.secret),
  ]);
  const links = serviceLinks(
    pod,
    parts.services.list(pod.metadata.namespace),
    parts.services.get('default/kubernetes'),
  );
  if (links.left > 0) tellCut(parts, pod, container, links.left);
  return environment({
    pod,
    container,
    podIp,
    hostIp: parts.node.hostIp,
    links: links.variables,
    configMaps,
    secrets,
    node: parts.node,
  });
}

const tellCut = (parts: AgentParts, pod: Pod, container: Container, left: number): void => {
  const words =
    `the environment of container "${container.name}" leaves out ${left} Services of the namespace: it may have ${mostVariables} variables and ` +
    `${mostBytes / 1024} KiB of them. Name the Services that are wanted in the annotation ${serviceLinksAnnotation}, or set enableServiceLinks to false`;
  parts.telling.event(podReference(pod, container.name), 'Warning', 'ServiceLinksCut', words);
};
