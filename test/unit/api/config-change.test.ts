import assert from 'node:assert/strict';
import {
  configReferences,
  containersThatFollow,
  referenceId,
  wishAbout,
  withConfigNames,
} from '../../../lib/api/config-change.ts';
import type { Container, Pod, PodSpec } from '../../../lib/api/objects.ts';
import { aPod } from '../../support/builders.ts';

const container = (more: Partial<Container>): Container => ({ name: 'a', image: 'x', ...more }) as Container;
const spec = {
  volumes: [
    { name: 'one', configMap: { name: 'files', items: [{ key: 'k', path: 'p' }] } },
    { name: 'two', secret: { secretName: 'keys', optional: true } },
    {
      name: 'three',
      projected: { sources: [{ configMap: { name: 'p1' } }, { secret: { name: 'p2' } }, { downwardAPI: {} }] },
    },
    { name: 'four', emptyDir: {} },
  ],
  initContainers: [container({ name: 'init', envFrom: [{ configMapRef: { name: 'first' } }] })],
  containers: [
    container({
      env: [
        { name: 'A', valueFrom: { configMapKeyRef: { name: 'vars', key: 'k' } } },
        { name: 'B', valueFrom: { secretKeyRef: { name: 'keys', key: 'k', optional: true } } },
        { name: 'C', value: 'c' },
        { name: 'D', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      ],
      envFrom: [{ prefix: 'P_', secretRef: { name: 'all' } }, { configMapRef: { name: 'vars' } }],
    }),
  ],
  imagePullSecrets: [{ name: 'registry' }],
} as unknown as PodSpec;

describe('api/config-change', () => {
  it('finds every ConfigMap and Secret of variables and volumes once, also of init containers', () => {
    assert.deepEqual(configReferences(spec).map(referenceId).sort(), [
      ...['configmaps/files', 'configmaps/first', 'configmaps/p1', 'configmaps/vars'],
      ...['secrets/all', 'secrets/keys', 'secrets/p2'],
    ]);
  });

  it('changes names and nothing else, and back', () => {
    const there = withConfigNames(spec, ({ name }) => `${name}-x`);
    assert.deepEqual(
      configReferences(there).map(({ name }) => name),
      configReferences(spec).map(({ name }) => `${name}-x`),
    );
    assert.deepEqual(
      withConfigNames(there, ({ name }) => name.slice(0, -2)),
      spec,
    );
  });

  it('lets an object have the last word among pods that say something', () => {
    const says = (word?: string) =>
      word === undefined ? {} : { annotations: { 'troupe.dev/on-config-change': word } };
    const rows = [
      [undefined, undefined, 'none'],
      [undefined, 'roll', 'none'],
      ['roll', undefined, 'roll'],
      ['roll', 'none', 'none'],
      ['roll', 'signal', 'signal'],
      ['signal', undefined, 'signal'],
      ['none', 'signal', 'signal'],
      ['what', 'signal', 'none'],
    ] as const;
    for (const [pod, object, wish] of rows) assert.equal(wishAbout(says(pod), says(object)), wish, `${pod} ${object}`);
  });

  it('knows which containers see the files of a volume change', () => {
    const mounts = (name: string, volumeMounts: object[], more: object = {}): Container =>
      ({ name, image: 'x', volumeMounts, ...more }) as unknown as Container;
    const pod = aPod({});
    const at = { name: 'one', mountPath: '/one' };
    const seen: Pod = {
      ...pod,
      spec: {
        ...pod.spec,
        initContainers: [mounts('init', [at]), mounts('sidecar', [at], { restartPolicy: 'Always' })],
        containers: [
          mounts('whole', [at]),
          mounts('part', [{ ...at, subPath: 'x' }]),
          mounts('both', [{ ...at, subPath: 'x' }, at]),
          mounts('other', [{ ...at, name: 'two' }]),
        ],
      },
    };
    assert.deepEqual(containersThatFollow(seen, ['one']), ['sidecar', 'whole', 'both']);
  });
});
