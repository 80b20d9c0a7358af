import type { PeerCertificate } from 'node:tls';
import { changesAnnotationsOnly, changesTagsOnly, labelsPods, mayOf } from '../identity/access.ts';
import type { Identities, Identity } from '../identity/identities.ts';
import { ApiError } from '../../../lib/base/errors.ts';

/** Who makes a request. */
export interface Caller {
  readonly user: string;
  readonly groups: readonly string[];
  /** Whose token was brought; such a caller may little. */
  readonly account?: Identity;
}

/** What is asked, in the words of access rules. `path`: of what is no resource. */
export interface Asked {
  readonly verb?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly path?: string;
}

const authenticated = 'system:authenticated';

/**
 * Who calls: the subject of a client certificate of the cluster's own authority (common name, organisations as groups), or the pod of a bearer
 * token. Without either `fallback`, where the door lets in who brings nothing. Unauthorized otherwise.
 */
export async function identifyCaller(
  identities: Identities,
  brought: { readonly certificate?: PeerCertificate; readonly authorization?: string | undefined },
  fallback?: Caller,
): Promise<Caller> {
  const { certificate, authorization } = brought;
  if (authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
    if (token === undefined) throw new ApiError('Unauthorized', 'authorization must be "Bearer <token>"');
    const account = await identities.identify(token);
    return { user: account.user, groups: accountGroups(account.namespace), account };
  }
  if (certificate !== undefined)
    return { user: textOf(certificate.subject.CN), groups: [...listOf(certificate.subject.O), authenticated] };
  if (fallback !== undefined) return fallback;
  throw new ApiError(
    'Unauthorized',
    'bring a client certificate of this cluster, or a token: authorization: Bearer <token>',
  );
}

/**
 * Whom a caller acts for (`kubectl --as`, the headers Impersonate-User and Impersonate-Group): himself without them. Forbidden for accounts, which
 * may not; BadRequest for groups of nobody. What else is said of the other one is refused rather than passed over.
 */
export function actingFor(self: Caller, header: (name: string) => string | undefined): Caller {
  const user = header('impersonate-user');
  const named = header('impersonate-group');
  if (user === undefined && named === undefined) return self;
  const groups = (named ?? '').split(', ').filter(Boolean);
  if (user === undefined && groups.length === 0) return self;
  if (user === undefined)
    throw new ApiError('BadRequest', 'Impersonate-Group needs Impersonate-User: whose groups are they?');
  if (isAccount(self)) throw new ApiError('Forbidden', `${self.user} may not act for others`);
  const [, , namespace] = user.split(':');
  const known = user.startsWith(accountPrefix) ? accountGroups(namespace ?? '') : [authenticated];
  return { user, groups: groups.length > 0 ? [...new Set([...groups, authenticated])] : known };
}

const accountPrefix = 'system:serviceaccount:';
const accountGroups = (namespace: string): readonly string[] => [
  ...['system:serviceaccounts', `system:serviceaccounts:${namespace}`, authenticated],
];

type SubjectPart = string | readonly string[] | undefined;
const listOf = (part: SubjectPart): readonly string[] =>
  part === undefined ? [] : typeof part === 'string' ? [part] : part;
const textOf = (part: SubjectPart): string => listOf(part)[0] ?? '';

const isAccount = ({ user }: Caller): boolean => user.startsWith(accountPrefix);

/** Why a caller may not do something; undefined when he may. Until there are rules of access, pods may look at themselves and everybody else may everything. */
export function mayDo(caller: Caller, asked: Asked): string | undefined {
  const { verb, resource, subresource = '', namespace, name, path } = asked;
  const { account } = caller;
  if (!isAccount(caller)) return undefined;
  if (path !== undefined) return undefined;
  if (
    resource === 'selfsubjectreviews' ||
    resource === 'selfsubjectaccessreviews' ||
    resource === 'selfsubjectrulesreviews'
  )
    return undefined;
  const isOwn =
    resource === 'pods' &&
    subresource === '' &&
    account?.pod !== undefined &&
    namespace === account.namespace &&
    name === account.pod.name;
  if (isOwn && (verb === 'get' || verb === 'patch')) return undefined;
  if (isNear(caller, asked) && nearVerbs.includes(verb ?? '')) return undefined;
  return mayOf(caller.user, account);
}

const nearVerbs: readonly string[] = ['get', 'list', 'watch', 'patch'];
/** A pod of the namespace that the caller's account may label. */
const isNear = ({ account }: Caller, { resource, subresource = '', namespace }: Asked): boolean =>
  account !== undefined &&
  labelsPods(account) &&
  resource === 'pods' &&
  subresource === '' &&
  namespace === account.namespace;

/** Throws Forbidden where `mayDo` says why not, and for a pod's patch of more than its own annotations. */
export async function checkCaller(caller: Caller, asked: Asked, body: () => Promise<Buffer>): Promise<void> {
  const why = mayDo(caller, asked);
  const isPodsPatch = why === undefined && isAccount(caller) && asked.resource === 'pods' && asked.verb === 'patch';
  const isFine = isNear(caller, asked) ? changesTagsOnly : changesAnnotationsOnly;
  if (why === undefined && !(isPodsPatch && !isFine(await body()))) return;
  const what = [asked.resource, asked.subresource].filter(Boolean).join('/');
  throw new ApiError(
    'Forbidden',
    `${what}${asked.name === undefined ? '' : ` "${asked.name}"`} is forbidden: ${why ?? `${mayOf(caller.user, caller.account)}, and this patch is of more`}`,
    {
      ...(asked.resource === undefined ? {} : { resource: asked.resource }),
      ...(asked.name === undefined ? {} : { name: asked.name }),
    },
  );
}

/** All that a caller may do, as rules (`kubectl auth can-i --list`). */
export function rulesOf(caller: Caller): {
  readonly resourceRules: readonly object[];
  readonly nonResourceRules: readonly object[];
} {
  const everywhere = { verbs: ['*'], nonResourceURLs: ['*'] };
  const { account } = caller;
  if (!isAccount(caller))
    return { resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }], nonResourceRules: [everywhere] };
  const own =
    account?.pod === undefined
      ? []
      : [{ verbs: ['get', 'patch'], apiGroups: [''], resources: ['pods'], resourceNames: [account.pod.name] }];
  const near =
    account !== undefined && labelsPods(account) ? [{ verbs: nearVerbs, apiGroups: [''], resources: ['pods'] }] : [];
  return { resourceRules: [...own, ...near], nonResourceRules: [{ ...everywhere, verbs: ['get'] }] };
}
