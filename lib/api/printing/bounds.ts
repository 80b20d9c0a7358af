import type { EndpointSlice, ResourceQuota, RoleBinding } from '../objects.ts';

/** `pods: 3/5, requests.cpu: 1/2` and the same for limits. */
export function quotaRow({ spec, status }: ResourceQuota): readonly [requests: string, limits: string] {
  const hard = status.hard ?? spec.hard ?? {};
  const text = (isWanted: (name: string) => boolean): string =>
    Object.keys(hard)
      .filter(isWanted)
      .sort()
      .map((name) => `${name}: ${String(status.used?.[name] ?? 0)}/${String(hard[name])}`)
      .join(', ');
  const isLimit = (name: string): boolean => name.startsWith('limits.');
  return [text((name) => !isLimit(name)), text(isLimit)];
}

const shown = 3;
const some = (texts: readonly string[], absent: string): string => {
  if (texts.length === 0) return absent;
  const rest = texts.length - shown;
  return rest > 0 ? `${texts.slice(0, shown).join(',')} + ${rest} more...` : texts.join(',');
};

export function sliceRow({ addressType, ports = [], endpoints = [] }: EndpointSlice): readonly string[] {
  const numbers = ports.map(({ port }) => (port === undefined ? '*' : String(port)));
  const addresses = endpoints.flatMap((endpoint) => endpoint.addresses);
  return [addressType, some(numbers, '<unset>'), some(addresses, '<unset>')];
}

export const roleText = ({ roleRef }: RoleBinding): string => `${roleRef.kind}/${roleRef.name}`;

/** Users, groups, service accounts. */
export function subjectsText({ subjects = [] }: RoleBinding): readonly string[] {
  const named = (kind: string): string =>
    subjects
      .filter((subject) => subject.kind === kind)
      .map(({ name, namespace }) => (namespace === undefined ? name : `${namespace}/${name}`))
      .join(', ');
  return [named('User'), named('Group'), named('ServiceAccount')];
}
