import { readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import type { Container, Pod, SecurityProfile } from '../../lib/api/objects.ts';
import { RuntimeError, type ContainerRuntime, type ContainerSpec } from '../runtime/runtime.ts';

/** The container asks for what its own configuration forbids, or for what the node does not have. */
export class ConfigRefused extends Error {}

/** What a node adds to the rules of the API. */
export interface NodeSecurity {
  /** Folder of the seccomp profiles that containers may name; empty: there are none. */
  readonly seccompDir: string;
  /** Kernel settings that pods may ask for beyond the safe ones. */
  readonly allowedSysctls: readonly string[];
}

export type ContainerSecurity = Pick<
  ContainerSpec,
  | 'user'
  | 'groups'
  | 'privileged'
  | 'readOnlyRoot'
  | 'noNewPrivileges'
  | 'capAdd'
  | 'capDrop'
  | 'seccomp'
  | 'appArmor'
  | 'unmaskedProc'
>;

/**
 * Who a container runs as and what it may do; its own securityContext wins over the pod's. `imageUser` is the user of its image
 * (`1000`, `www`, `www:www`, empty for root), needed where `asksForImageUser`. Throws ConfigRefused where runAsNonRoot is not kept.
 */
export function containerSecurity(
  pod: Pod,
  container: Container,
  found: { readonly imageUser?: string; readonly seccomp?: string },
): ContainerSecurity {
  const own = container.securityContext;
  const shared = pod.spec.securityContext;
  const group = own?.runAsGroup ?? shared.runAsGroup;
  const user = own?.runAsUser ?? shared.runAsUser;
  const imageUser = (found.imageUser ?? '').split(':')[0] ?? '';
  if (own?.runAsNonRoot ?? shared.runAsNonRoot ?? false) checkNonRoot(user, imageUser);
  const runsAs = user === undefined ? (imageUser === '' ? '0' : imageUser) : String(user);
  const groups = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup])];
  const appArmor = own?.appArmorProfile ?? shared.appArmorProfile;
  return {
    ...(user === undefined && group === undefined ? {} : { user: group === undefined ? runsAs : `${runsAs}:${group}` }),
    ...(groups.length === 0 ? {} : { groups: groups.map(String) }),
    privileged: own?.privileged ?? false,
    readOnlyRoot: own?.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own?.allowPrivilegeEscalation === false,
    ...capabilities(own?.capabilities),
    ...(found.seccomp === undefined ? {} : { seccomp: found.seccomp }),
    ...(appArmor === undefined || appArmor.type === 'RuntimeDefault' ? {} : { appArmor: profileName(appArmor) }),
    ...(own?.procMount === 'Unmasked' ? { unmaskedProc: true } : {}),
  };
}

/** Whether the user of the image decides who the container runs as. */
export function asksForImageUser(
  { spec: { securityContext: shared } }: Pod,
  { securityContext: own }: Container,
): boolean {
  if ((own?.runAsUser ?? shared.runAsUser) !== undefined) return false;
  return (own?.runAsNonRoot ?? shared.runAsNonRoot ?? false) || (own?.runAsGroup ?? shared.runAsGroup) !== undefined;
}

function checkNonRoot(user: number | undefined, imageUser: string): void {
  if (user === 0)
    throw new ConfigRefused("container's runAsUser breaks non-root policy: it is 0, and runAsNonRoot is set");
  if (user !== undefined) return;
  if (imageUser === '' || imageUser === '0' || imageUser === 'root')
    throw new ConfigRefused(
      'container has runAsNonRoot and image will run as root: set runAsUser, or USER in the image',
    );
  if (!/^[0-9]+$/.test(imageUser))
    throw new ConfigRefused(
      `container has runAsNonRoot and image has non-numeric user (${imageUser}), cannot verify user is non-root: set runAsUser`,
    );
}

/** In one spelling: `NET_ADMIN` and `CAP_NET_ADMIN` are one. */
function capabilities(asked: { readonly add?: readonly string[]; readonly drop?: readonly string[] } | undefined): {
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
} {
  const named = (list: readonly string[] | undefined): readonly string[] =>
    (list ?? []).map((name) => name.toUpperCase().replace(/^CAP_/, ''));
  const [add, drop] = [named(asked?.add), named(asked?.drop)];
  return { ...(add.length === 0 ? {} : { capAdd: add }), ...(drop.length === 0 ? {} : { capDrop: drop }) };
}

const profileName = (profile: SecurityProfile): string =>
  profile.type === 'Unconfined' ? 'unconfined' : (profile.localhostProfile ?? '');

/** The same with what only the node knows: the image's user, the text of a seccomp profile. Rejects with ConfigRefused or RuntimeError. */
export async function securityOf(
  parts: { readonly runtime: ContainerRuntime; readonly security: NodeSecurity },
  pod: Pod,
  container: Container,
): Promise<ContainerSecurity> {
  const seccomp = await seccompOf(
    container.securityContext?.seccompProfile ?? pod.spec.securityContext.seccompProfile,
    parts.security.seccompDir,
  );
  const found = seccomp === undefined ? {} : { seccomp };
  if (!asksForImageUser(pod, container)) return containerSecurity(pod, container, found);
  const image = await parts.runtime.imagePresent(container.image);
  if (image === undefined) throw new RuntimeError('ImageNotFound', `image "${container.image}" is not on this machine`);
  return containerSecurity(pod, container, { ...found, imageUser: image.user ?? '' });
}

/** Undefined for the engine's own profile, which is also that of containers that name none. */
async function seccompOf(profile: SecurityProfile | undefined, folder: string): Promise<string | undefined> {
  if (profile === undefined || profile.type === 'RuntimeDefault') return undefined;
  if (profile.type === 'Unconfined') return 'unconfined';
  const name = profile.localhostProfile ?? '';
  const path = normalize(name);
  if (folder === '' || name === '' || path.startsWith('/') || path.split('/').includes('..'))
    throw new ConfigRefused(`seccomp profile "${name}" is not one of this node's (--seccomp-profiles ${folder})`);
  const text = await readFile(join(folder, path), 'utf8').catch((error: unknown) => {
    throw new ConfigRefused(`seccomp profile "${name}" cannot be read on this node: ${String(error)}`);
  });
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (error) {
    throw new ConfigRefused(`seccomp profile "${name}" is not valid JSON: ${String(error)}`);
  }
}
