import assert from 'node:assert/strict';
import type { Pod, Volume } from '../../../../lib/api/objects.ts';
import type { ConfigReader } from '../../../../node-agent/volumes/driver.ts';
import { projectedFiles, tellsOfItself, volumeReferences } from '../../../../node-agent/volumes/projection.ts';
import { aPod } from '../../../support/builders.ts';

describe('node-agent/volumes/projection', () => {
  const config: ConfigReader = {
    configMap: async (name) =>
      name === 'theme'
        ? {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: aPod().metadata,
            data: { colour: 'blue', size: '9' },
            binaryData: { logo: 'AAE=' },
          }
        : undefined,
    secret: async (name) =>
      name === 'key'
        ? { apiVersion: 'v1', kind: 'Secret', metadata: aPod().metadata, data: { token: 'czNjcmV0' } }
        : undefined,
    podIp: '10.244.0.5',
    hostIp: '192.0.2.10',
    object: async () => undefined,
    node: { cpuMilli: 4000, memoryBytes: 2 ** 30 },
  };
  const files = async (volume: Omit<Volume, 'name'>): Promise<readonly string[] | undefined> =>
    (await projectedFiles(aPod({ name: 'web-1' }), { name: 'v', ...volume }, config))?.map(
      ({ path, data, mode }) => `${path}=${data.toString('latin1')} ${mode.toString(8)}`,
    );

  it('fills from a ConfigMap, all of it or chosen keys', async () => {
    assert.deepEqual(await files({ configMap: { name: 'theme' } }), [
      'colour=blue 644',
      'size=9 644',
      'logo=\x00\x01 644',
    ]);
    assert.deepEqual(
      await files({ configMap: { name: 'theme', items: [{ key: 'size', path: 'deep/size', mode: 0o600 }] } }),
      ['deep/size=9 600'],
    );
  });
  it('fills from a Secret, the pod itself, or several sources at once', async () => {
    assert.deepEqual(await files({ secret: { secretName: 'key', defaultMode: 0o400 } }), ['token=s3cret 400']);
    const item = { path: 'name', fieldRef: { fieldPath: 'metadata.name' } };
    assert.deepEqual(await files({ downwardAPI: { items: [item] } }), ['name=web-1 644']);
    assert.deepEqual(
      await files({ projected: { sources: [{ secret: { name: 'key' } }, { downwardAPI: { items: [item] } }] } }),
      ['token=s3cret 644', 'name=web-1 644'],
    );
  });
  it('is empty for what is optional, and names what is missing', async () => {
    assert.deepEqual(await files({ configMap: { name: 'none', optional: true } }), []);
    await assert.rejects(files({ configMap: { name: 'none' } }), /configmap "none" not found/);
    await assert.rejects(files({ secret: { secretName: 'key', items: [{ key: 'nope', path: 'x' }] } }), /key "nope"/);
  });

  it('says what it does not know, and what this cluster does not give', async () => {
    await assert.rejects(
      files({ projected: { sources: [{ clusterTrustBundle: { path: 'x' } }] } }),
      /clusterTrustBundle/,
    );
    const token = { serviceAccountToken: { path: 'token', audience: 'vault' } };
    await assert.rejects(files({ projected: { sources: [token] } }), /no service account tokens/);
    const given = await projectedFiles(
      aPod(),
      { name: 'v', projected: { sources: [token] } },
      { ...config, serviceAccountToken: async ({ audience, expirationSeconds }) => `${audience}/${expirationSeconds}` },
    );
    assert.deepEqual(given, [{ path: 'token', data: Buffer.from('vault/3600'), mode: 0o644 }]);
  });

  it('names what a pod is filled from, each once, and whether its files follow its own labels', () => {
    const labels = { items: [{ path: 'l', fieldRef: { fieldPath: "metadata.labels['app']" } }] };
    const name = { items: [{ path: 'n', fieldRef: { fieldPath: 'metadata.name' } }] };
    const pod = (...volumes: readonly Omit<Volume, 'name'>[]): Pod =>
      aPod({ spec: { volumes: volumes.map((volume, index) => ({ name: `v${index}`, ...volume })) } });
    assert.deepEqual(
      volumeReferences(
        pod(
          { emptyDir: {} },
          { configMap: { name: 'same' } },
          { secret: { secretName: 'same' } },
          {
            projected: {
              sources: [{ configMap: { name: 'same' } }, { secret: { name: 'other' } }, { downwardAPI: name }],
            },
          },
        ).spec.volumes,
      ),
      [
        { resource: 'configmaps', name: 'same' },
        { resource: 'secrets', name: 'same' },
        { resource: 'secrets', name: 'other' },
      ],
    );
    assert.equal(tellsOfItself(pod({ downwardAPI: name }, { emptyDir: {} })), false);
    assert.equal(tellsOfItself(pod({ downwardAPI: labels })), true);
    assert.equal(tellsOfItself(pod({ projected: { sources: [{ downwardAPI: labels }] } })), true);
  });
});
