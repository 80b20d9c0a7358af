import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { grantsOf, type AccountGrant } from '../../../lib/api/account-grants.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import type { ApiObject, Pod, Secret, ServiceAccount, TokenRequest } from '../../../lib/api/objects.ts';
import { rfc3339, type Clock } from '../../../lib/base/clock.ts';
import { ApiError, hasReason, invalid, messageOf, notFound, type FieldCause } from '../../../lib/base/errors.ts';
import type { Registry } from '../registry/registry.ts';
import { newKeyPem, readToken, signToken, tokenKey, unauthorized, type Claims, type TokenKey } from './token.ts';

/** Who calls: a service account, by its token; most often a pod. */
export interface Identity {
  /** `system:serviceaccount:<namespace>:<name>` */
  readonly user: string;
  readonly namespace: string;
  /** Absent: the token was made for the account alone. */
  readonly pod?: { readonly name: string; readonly uid: string };
  /** What its account says that it may besides. */
  readonly grants?: readonly AccountGrant[];
}

export interface Identities {
  /** A token for an account, or for a pod with it, while that is there. NotFound, Invalid. */
  createToken(namespace: string, account: string, request: TokenRequest): Promise<TokenRequest>;
  /** Whose token this is. Unauthorized with the reason when it is not, or no more, a token for this API. */
  identify(token: string): Promise<Identity>;
}

/** The name of this API in tokens, as who signs them and for whom they are. */
export const apiAudience = 'https://kubernetes.default.svc';
/** Where the key is kept: with the state, so that every apiserver of the cluster has the same. */
export const keySecret = { namespace: 'kube-system', name: 'service-account-key' } as const;
const keyField = 'private.pem';

const lifetime = { default: 3_600, min: 600, max: 86_400 } as const;
const maxAudiences = 8;
/** Clocks of the apiservers may differ by so much. */
const leewaySeconds = 5;
/** Tokens whose signature has been seen to be right; the rest about them is looked at each time. */
const maxKnown = 4096;

export function newIdentities(options: { readonly registry: Registry; readonly clock: Clock }): Identities {
  const { registry, clock } = options;
  const known = new LRUCache<string, Claims>({ max: maxKnown });
  let loading: Promise<TokenKey> | undefined;
  /** Loaded, or made, when first needed. */
  const key = (): Promise<TokenKey> =>
    (loading ??= loadKey(registry).catch((error: unknown) => {
      loading = undefined; // the next call tries again
      throw error;
    }));
  const nowSeconds = (): number => Math.floor(clock.now() / 1000);

  async function find<T extends ApiObject>(resource: string, namespace: string, name: string): Promise<T | undefined> {
    const served = await registry.get(resource, makeKey(namespace, name));
    return served === undefined ? undefined : (JSON.parse(served.json.toString('utf8')) as T);
  }

  async function boundPod(
    namespace: string,
    account: string,
    bound: NonNullable<NonNullable<TokenRequest['spec']>['boundObjectRef']>,
  ): Promise<Pod> {
    const pod = await find<Pod>('pods', namespace, bound.name ?? '');
    if (pod === undefined || (bound.uid !== undefined && bound.uid !== '' && bound.uid !== pod.metadata.uid))
      throw notFound('pods', bound.name ?? '');
    if (pod.spec.serviceAccountName !== account)
      throw new ApiError('Forbidden', `pod "${pod.metadata.name}" has another service account`);
    return pod;
  }

  return {
    async createToken(namespace, account, request) {
      const { audiences = [], expirationSeconds, boundObjectRef: bound } = request.spec ?? {};
      const causes = wrongIn(request);
      if (causes.length > 0) throw invalid('TokenRequest', account, causes);
      const found = await find<ServiceAccount>('serviceaccounts', namespace, account);
      if (found === undefined) throw notFound('serviceaccounts', account);
      const pod = bound === undefined ? undefined : await boundPod(namespace, account, bound);
      const iat = nowSeconds();
      const exp =
        iat + (expirationSeconds === undefined || expirationSeconds === 0 ? lifetime.default : expirationSeconds);
      const token = signToken(
        {
          iss: apiAudience,
          aud: audiences.length === 0 ? [apiAudience] : audiences,
          sub: userOf(namespace, account),
          ...{ iat, nbf: iat, exp, jti: randomUUID() },
          'kubernetes.io': {
            namespace,
            serviceaccount: { name: account, uid: found.metadata.uid },
            ...(pod === undefined ? {} : { pod: { name: pod.metadata.name, uid: pod.metadata.uid } }),
          },
        },
        await key(),
      );
      return { ...request, status: { token, expirationTimestamp: rfc3339(exp * 1000) } };
    },

    async identify(token) {
      let claims = known.get(token);
      if (claims === undefined) {
        claims = readToken(token, await key());
        known.set(token, claims);
      }
      const { namespace, pod, serviceaccount } = claims['kubernetes.io'];
      const now = nowSeconds();
      if (!claims.aud.includes(apiAudience))
        throw unauthorized(`the token is meant for ${claims.aud.join(', ')}, not for this API (${apiAudience})`);
      if (now >= claims.exp + leewaySeconds)
        throw unauthorized(`the token ended at ${rfc3339(claims.exp * 1000)}; its file has a newer one: read it again`);
      if (now < claims.nbf - leewaySeconds)
        throw unauthorized(`the token is not valid before ${rfc3339(claims.nbf * 1000)}`);
      const [account, holder] = await Promise.all([
        find<ServiceAccount>('serviceaccounts', namespace, serviceaccount.name),
        pod === undefined ? undefined : find<Pod>('pods', namespace, pod.name),
      ]);
      if (account?.metadata.uid !== serviceaccount.uid)
        throw unauthorized(`the service account "${serviceaccount.name}" of the token is gone`);
      if (pod !== undefined && holder?.metadata.uid !== pod.uid)
        throw unauthorized(`the pod "${pod.name}" of the token is gone`);
      const grants = grantsOf(account);
      return {
        ...{ user: userOf(namespace, serviceaccount.name), namespace },
        ...(pod !== undefined && { pod }),
        ...(grants.length > 0 && { grants }),
      };
    },
  };
}

const userOf = (namespace: string, account: string): string => `system:serviceaccount:${namespace}:${account}`;

function wrongIn({ spec = {} }: TokenRequest): readonly FieldCause[] {
  const causes: FieldCause[] = [];
  const wrong = (field: string, message: string): void =>
    void causes.push({ field, reason: 'FieldValueInvalid', message });
  const { audiences = [], expirationSeconds: seconds, boundObjectRef: bound } = spec;
  if (audiences.length > maxAudiences || audiences.includes(''))
    wrong('spec.audiences', `must be at most ${maxAudiences} names, none of them empty`);
  if (seconds !== undefined && seconds !== 0 && (seconds < lifetime.min || seconds > lifetime.max))
    wrong('spec.expirationSeconds', `${seconds}: must be from ${lifetime.min} to ${lifetime.max}`);
  if (bound !== undefined && (bound.kind !== 'Pod' || bound.name === undefined || bound.name === ''))
    wrong('spec.boundObjectRef', 'must name the pod that the token is for, by kind "Pod" and its name, or be left out');
  return causes;
}

/** The key of the cluster; made by whoever comes first. */
async function loadKey(registry: Registry): Promise<TokenKey> {
  const { namespace, name } = keySecret;
  for (;;) {
    const served = await registry.get('secrets', makeKey(namespace, name));
    if (served !== undefined) {
      const { data } = JSON.parse(served.json.toString('utf8')) as Secret;
      try {
        return tokenKey(Buffer.from(data?.[keyField] ?? '', 'base64').toString('utf8'));
      } catch (cause) {
        const what = `the Secret ${namespace}/${name} holds no key for tokens in ${keyField}`;
        throw new ApiError(
          'InternalError',
          `${what} (${messageOf(cause)}); delete it, and a new one is made`,
          {},
          { cause },
        );
      }
    }
    const draft = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace },
      type: 'troupe.dev/token-key',
      data: { [keyField]: Buffer.from(newKeyPem()).toString('base64') },
    };
    try {
      await registry.create('secrets', namespace, draft, {});
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) throw error; // another apiserver was quicker: read its key
    }
  }
}
