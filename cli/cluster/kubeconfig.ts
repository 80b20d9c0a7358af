import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { certificatesFolder, restAddress } from './layout.ts';
import type { ClusterOptions } from './part.ts';

export const kubeconfigFile = (dataDir: string): string => join(dataDir, 'kubeconfig');

/**
 * Writes what kubectl, helm and client libraries need to reach a cluster of this machine as its administrator: the address, the authority that
 * signed its certificate, and a certificate of their own. Whoever can read the file may do everything. Called once the apiserver has made them.
 */
export function writeKubeconfig(options: ClusterOptions): string {
  const { cluster, dataDir } = options;
  const data = (file: string): string => readFileSync(join(certificatesFolder(options), file)).toString('base64');
  const user = `${cluster}-admin`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: cluster,
        cluster: { server: `https://${restAddress(options)}`, 'certificate-authority-data': data('ca.crt') },
      },
    ],
    users: [
      { name: user, user: { 'client-certificate-data': data('admin.crt'), 'client-key-data': data('admin.key') } },
    ],
    contexts: [{ name: cluster, context: { cluster, user, namespace: 'default' } }],
    'current-context': cluster,
  };
  const file = kubeconfigFile(dataDir);
  writeFileSync(`${file}.new`, stringify(config), { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return file;
}
