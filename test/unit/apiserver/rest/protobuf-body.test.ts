import assert from 'node:assert/strict';
import { encodeMessage } from '../../../../lib/api/codec/message.ts';
import { aDoor, closeDoors } from './a-door.ts';

interface Stored {
  readonly spec: { readonly replicas: number; readonly template: object };
}

/** Kubernetes' clients send objects of the core kinds as protobuf, in which many fields cannot be left out. */
describe('apiserver/rest: protobuf bodies', () => {
  afterEach(closeDoors);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const labels = { app: 'web' };
  const said = {
    replicas: 0,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        containers: [
          { name: 'main', image: 'web:1', securityContext: { runAsUser: 0, allowPrivilegeEscalation: false } },
        ],
      },
    },
  };
  const [container] = said.template.spec.containers;
  /** The same as a Go client writes it: no pointer, no way to leave it out. */
  const written = {
    ...{ ...said, minReadySeconds: 0, paused: false },
    template: {
      metadata: { ...said.template.metadata, name: '', generation: 0 },
      spec: {
        ...said.template.spec,
        ...{ hostNetwork: false, hostPID: false, hostIPC: false, nodeName: '', hostname: '' },
        containers: [{ ...container, stdin: false, stdinOnce: false, tty: false, workingDir: '' }],
      },
    },
  };

  it('store the same object as JSON that leaves out what it does not say, and keep what is meant', async () => {
    const door = await aDoor();
    const raw = encodeMessage('Deployment', { metadata: { name: 'proto', labels }, spec: written });
    const unknown = encodeMessage('Unknown', { apiVersion: 'apps/v1', kind: 'Deployment', raw } as never);
    const body = Buffer.concat([Buffer.from([0x6b, 0x38, 0x73, 0x00]), unknown]);
    const type = { 'content-type': 'application/vnd.kubernetes.protobuf' };
    const byProtobuf = await door.ask<Stored>('POST', path, body, type);
    assert.equal(byProtobuf.status, 201, JSON.stringify(byProtobuf.json));
    const byJson = await door.ask<Stored>('POST', path, { metadata: { name: 'json', labels }, spec: said });
    assert.deepEqual(byProtobuf.json.spec, byJson.json.spec);
    assert.equal(byProtobuf.json.spec.replicas, 0);
    assert.match(JSON.stringify(byProtobuf.json.spec.template), /"runAsUser":0/);
    assert.match(JSON.stringify(byProtobuf.json.spec.template), /"allowPrivilegeEscalation":false/);
    assert.match(JSON.stringify(byProtobuf.json.spec.template), /"terminationGracePeriodSeconds":0/);
  });
});
