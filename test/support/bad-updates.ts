import type { PodSpec } from '../../lib/api/objects.ts';
import { RuntimeError, type ContainerSpec } from '../../node-agent/runtime/runtime.ts';
import type { Checker } from '../../node-agent/probes/checks.ts';
import type { FakeScript } from '../../node-agent/runtime/fake-runtime.ts';
import type { FlowCluster } from './flow-cluster.ts';

/** One way in which a new template can be bad. Its image has its name. */
export interface BadUpdate {
  readonly name: string;
  /** What of the pod differs besides the image. */
  readonly pod?: Partial<PodSpec> & { readonly container?: object };
  /** What becomes of its containers. */
  readonly script?: FakeScript;
  /** What its probes find, by kind of handler. */
  readonly probe?: { readonly kind: 'httpGet' | 'tcpSocket' | 'exec'; readonly message: string };
  readonly pull?: RuntimeError;
  /** What the verdict names: the reason, and words of the cause. */
  readonly reason: RegExp;
  readonly cause: RegExp;
}

const http = { httpGet: { path: '/', port: 80 }, periodSeconds: 1, timeoutSeconds: 1 };
const late = /^ProgressDeadlineExceeded$/;
const crashes = /^CrashLoopBackOff$/;

export const badUpdates: readonly BadUpdate[] = [
  { name: 'crash-at-once', script: { exitCode: 3, afterMs: 200 }, reason: crashes, cause: /exit code 3/ },
  { name: 'crash-after-a-while', script: { exitCode: 4, afterMs: 4_000 }, reason: crashes, cause: /exit code 4/ },
  {
    name: 'hangs-before-it-listens',
    pod: { container: { startupProbe: { ...http, failureThreshold: 3 } } },
    probe: { kind: 'httpGet', message: 'Get "http://10.0.0.1:80/": context deadline exceeded' },
    reason: crashes,
    cause: /exit code/,
  },
  {
    name: 'never-ready',
    pod: { container: { readinessProbe: http } },
    probe: { kind: 'httpGet', message: 'HTTP probe failed with statuscode: 503' },
    reason: late,
    cause: /unready status: \[app\].*statuscode: 503/,
  },
  {
    name: 'wrong-port',
    pod: { container: { readinessProbe: { tcpSocket: { port: 8081 }, periodSeconds: 1 } } },
    probe: { kind: 'tcpSocket', message: 'dial tcp 10.0.0.1:8081: connection refused' },
    reason: late,
    cause: /unready status: \[app\].*8081: connection refused/,
  },
  { name: 'out-of-memory', script: { exitCode: 137, afterMs: 300, oom: true }, reason: crashes, cause: /OOMKilled/ },
  {
    name: 'no-image',
    pull: new RuntimeError('ImageNotFound', 'no such image'),
    reason: /Image/,
    cause: /no such image/,
  },
  {
    name: 'no-right-to-pull',
    pull: new RuntimeError('ImagePullFailed', 'unauthorized: authentication required'),
    pod: { imagePullSecrets: [{ name: 'forgotten' }] },
    reason: /Image/,
    cause: /unauthorized/,
  },
  {
    name: 'no-config-map',
    pod: { container: { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'forgotten', key: 'a' } } }] } },
    reason: /^CreateContainerConfigError$/,
    cause: /configmap "?forgotten"? not found/i,
  },
  {
    name: 'fits-nowhere',
    pod: { container: { resources: { requests: { cpu: '64' } } } },
    reason: late,
    cause: /Unschedulable: 0\/3 nodes.*cpu/,
  },
  {
    name: 'init-container-fails',
    pod: { initContainers: [{ name: 'prepare', image: 'example/fails:1' } as never] },
    reason: crashes,
    cause: /container prepare: .*exit code 5/,
  },
  {
    name: 'dies-by-its-liveness-probe',
    pod: { container: { livenessProbe: { exec: { command: ['alive'] }, periodSeconds: 1, failureThreshold: 1 } } },
    probe: { kind: 'exec', message: 'command exited with code 1' },
    reason: crashes,
    cause: /exit code/,
  },
];

export const imageOfBad = ({ name }: BadUpdate): string => `example/${name}:2`;

/** The spec of its pods; `image` in place of its own makes a good one of it. */
export function podSpecOf(image: string, { pod = {} }: Partial<BadUpdate> = {}): object {
  const { container, ...rest } = pod;
  const app = { name: 'app', image, imagePullPolicy: 'Always', ...container };
  return { terminationGracePeriodSeconds: 1, containers: [app], ...rest };
}

/** From now on the nodes' engines and probes do with these images what their rows say. */
export function spoil(cluster: FlowCluster, nodes: readonly string[]): void {
  const byImage = new Map(badUpdates.map((bad) => [imageOfBad(bad), bad]));
  const check: Checker = async (handler, { container }) => {
    const probe = byImage.get(container.image ?? '')?.probe;
    const failed = probe !== undefined && handler[probe.kind] !== undefined;
    return failed ? { ok: false, message: probe.message } : { ok: true, message: '' };
  };
  const scriptOf = ({ image }: ContainerSpec): FakeScript | undefined =>
    image === 'example/fails:1' ? { exitCode: 5, afterMs: 50 } : byImage.get(image)?.script;
  for (const node of nodes) {
    const engine = cluster.engineOf(node);
    engine.onStart = scriptOf;
    cluster.probingOf(node).check = check;
    for (const [image, { pull }] of byImage) if (pull !== undefined) engine.failPulls(image, pull);
  }
}
