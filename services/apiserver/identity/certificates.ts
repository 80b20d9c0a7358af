import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { CertificateWish, KeyPair } from './authority.ts';

/** What TLS on the REST door needs, and what its first user needs. */
export interface Certificates {
  readonly authority: KeyPair;
  readonly server: KeyPair;
  /** Of the cluster's administrator: `CN=admin,O=system:masters`. */
  readonly admin: KeyPair;
}

/**
 * The certificates of a cluster in a folder (`ca`, `server`, `admin`: each `.crt` and `.key`, readable by its owner alone). What is missing,
 * about to end or not good for `hosts` is made; an authority that is there stays, so that kubeconfigs go on being good.
 */
export async function loadCertificates(folder: string, hosts: readonly string[], nowMs: number): Promise<Certificates> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Making certificates takes much code, which is seldom needed.
  const make = () => import('./authority.ts');
  const authority = (await read(folder, 'ca')) ?? (await write(folder, 'ca', await (await make()).newAuthority(nowMs)));
  const ensure = async (name: string, wish: CertificateWish): Promise<KeyPair> => {
    const found = await read(folder, name);
    if (found !== undefined && isGood(found, authority, wish, nowMs)) return found;
    return write(folder, name, await (await make()).newCertificate(authority, wish, nowMs));
  };
  return {
    authority,
    server: await ensure('server', { subject: 'CN=apiserver', hosts }),
    admin: await ensure('admin', { subject: 'CN=admin,O=system:masters' }),
  };
}

async function read(folder: string, name: string): Promise<KeyPair | undefined> {
  try {
    const [cert, key] = await Promise.all(
      ['crt', 'key'].map((end) => readFile(join(folder, `${name}.${end}`), 'utf8')),
    );
    return cert === undefined || key === undefined ? undefined : { cert, key };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all, the key first: a certificate without its key would be taken for good. */
async function write(folder: string, name: string, pair: KeyPair): Promise<KeyPair> {
  for (const [end, text] of [
    ['key', pair.key],
    ['crt', pair.cert],
  ] as const) {
    const path = join(folder, `${name}.${end}`);
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
  return pair;
}

/** A certificate with less time left than this is made anew. */
const renewMs = 30 * 86_400_000;

/** Whether a certificate can go on being used: signed by this authority, for all these hosts, and for some time yet. */
function isGood(pair: KeyPair, authority: KeyPair, { hosts = [] }: CertificateWish, nowMs: number): boolean {
  try {
    const cert = new X509Certificate(pair.cert);
    const signed = cert.verify(new X509Certificate(authority.cert).publicKey);
    const lasts = Date.parse(cert.validTo) - nowMs > renewMs;
    return (
      signed &&
      lasts &&
      hosts.every((host) => (isIP(host) === 0 ? cert.checkHost(host) : cert.checkIP(host)) !== undefined)
    );
  } catch {
    return false; // what cannot be read is made anew
  }
}
