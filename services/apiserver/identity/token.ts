import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { ApiError } from '../../../lib/base/errors.ts';

/** What a token says (RFC 7519), with whom it is bound to in the member that Kubernetes uses for that. */
export interface Claims {
  readonly iss: string;
  readonly aud: readonly string[];
  readonly sub: string;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti: string;
  readonly 'kubernetes.io': {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    /** With whose end it ends; absent: with that of the account. */
    readonly pod?: { readonly name: string; readonly uid: string };
  };
}

/** With which tokens are signed, and seen to be ours: ES256. */
export interface TokenKey {
  /** Says in a token which key it was signed with. */
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** A new private key as PEM. */
export const newKeyPem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

/** Throws where the text is no private key of P-256. */
export function tokenKey(pem: string): TokenKey {
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new Error('it is no private key of the curve P-256');
  const publicKey = createPublicKey(privateKey);
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { id: createHash('sha256').update(der).digest('base64url').slice(0, 16), privateKey, publicKey };
}

export function signToken(claims: Claims, key: TokenKey): string {
  const head = part({ alg: 'ES256', kid: key.id, typ: 'JWT' });
  const signed = `${head}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** No honest token is longer. */
const maxLength = 8 * 1024;

/**
 * What a token says, once it is known to be ours; whether it is still valid is another question. Throws Unauthorized that says why
 * not, without a word of the token.
 */
export function readToken(text: string, key: TokenKey): Claims {
  const [head = '', body = '', signature = '', more] = text.length > maxLength ? [] : text.split('.');
  if (signature === '' || more !== undefined) throw unauthorized('the token is no JWT of three parts');
  const { alg, kid } = json(head) as { readonly alg?: unknown; readonly kid?: unknown };
  if (alg !== 'ES256') throw unauthorized('the token is not signed with ES256');
  if (kid !== key.id)
    throw unauthorized('the token was signed with a key that this cluster does not have, or has no more');
  const bytes = Buffer.from(signature, 'base64url');
  const isOurs = verify(
    'sha256',
    Buffer.from(`${head}.${body}`),
    { key: key.publicKey, dsaEncoding: 'ieee-p1363' },
    bytes,
  );
  if (!isOurs) throw unauthorized('the signature of the token is wrong');
  return json(body) as Claims;
}

function json(part: string): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // said below
  }
  throw unauthorized('the token cannot be read');
}

export const unauthorized = (why: string): ApiError => new ApiError('Unauthorized', why);
