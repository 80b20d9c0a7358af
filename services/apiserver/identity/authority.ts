import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** A certificate and its private key, as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is to be good for. */
export interface CertificateWish {
  /** `CN=…,O=…` */
  readonly subject: string;
  /** Names and addresses of a server; none: it is a client's. */
  readonly hosts?: readonly string[];
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;
/** Ten years, as long as a test cluster that nobody looks after may live. */
const authorityDays = 3650;
const certificateDays = 365;
/** Clocks differ: a certificate is good from a little before it was made. */
const leewayMs = 5 * 60_000;

/** A new authority, of this cluster alone. */
export async function newAuthority(nowMs: number): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const made = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=troupe-ca',
    notBefore: new Date(nowMs - leewayMs),
    notAfter: new Date(nowMs + authorityDays * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: made.toString('pem'), key: await keyPem(keys.privateKey) };
}

/** A certificate that the authority has signed. */
export async function newCertificate(authority: KeyPair, wish: CertificateWish, nowMs: number): Promise<KeyPair> {
  const issuer = new Certificate(authority.cert);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const { hosts = [] } = wish;
  const isServer = hosts.length > 0;
  const made = await X509CertificateGenerator.create({
    subject: wish.subject,
    issuer: issuer.subject,
    notBefore: new Date(nowMs - leewayMs),
    notAfter: new Date(nowMs + certificateDays * dayMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await privateKey(authority.key),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([isServer ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth], false),
      await AuthorityKeyIdentifierExtension.create(issuer),
      ...(isServer ? [new SubjectAlternativeNameExtension(hosts.map(nameOf))] : []),
    ],
  });
  return { cert: made.toString('pem'), key: await keyPem(keys.privateKey) };
}

const nameOf = (host: string): { readonly type: 'ip' | 'dns'; readonly value: string } => ({
  type: isIP(host) === 0 ? 'dns' : 'ip',
  value: host,
});

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

const privateKey = (pem: string): Promise<webcrypto.CryptoKey> =>
  webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), algorithm, false, ['sign']);
