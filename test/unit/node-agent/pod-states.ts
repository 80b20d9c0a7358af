import type { ContainerState, ContainerStatus, PodSpec } from '../../../lib/api/objects.ts';
import type { ContainerKind, PodContainer } from '../../../node-agent/labels.ts';
import type { PodState } from '../../../node-agent/plan.ts';
import { reconcile, type Action } from '../../../node-agent/reconcile.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { aPod, epochMs } from '../../support/builders.ts';

/** A container of the pod, as far as the case is about it. */
export interface ContainerWish {
  readonly kind?: ContainerKind;
  readonly name?: string;
  readonly attempt?: number;
  readonly crashes?: number;
  readonly ahead?: true;
  readonly is?: Partial<RuntimeContainer>;
}
let born = 0;
export function a(wish: ContainerWish = {}): PodContainer {
  const name = wish.kind === 'sandbox' ? '' : (wish.name ?? 'main');
  const attempt = wish.attempt ?? 0;
  const state = wish.is?.state ?? 'running';
  return {
    ...{
      kind: wish.kind ?? 'container',
      uid: 'u',
      namespace: 'default',
      podName: 'web-1',
      name,
      attempt,
      crashes: wish.crashes ?? 0,
    },
    ...(wish.ahead === undefined ? {} : { ahead: wish.ahead }),
    ip: wish.kind === 'sandbox' ? '10.244.0.5' : undefined,
    is: {
      ...{
        id: `${name}-${attempt}-${born++}`,
        name: `${name}_${attempt}`,
        image: 'example/web:1',
        imageId: 'sha256:1',
        labels: {},
        state,
      },
      createdAtMs: epochMs,
      ...(state === 'created' ? {} : { startedAtMs: epochMs }),
      ...(state === 'exited' ? { exitCode: 1, finishedAtMs: epochMs } : {}),
      ...wish.is,
    },
  };
}

/** What is known of a pod that has all it needs but its containers. */
export function state(over: Partial<PodState> & { readonly spec?: Partial<PodSpec> } = {}): PodState {
  const { spec, ...rest } = over;
  return {
    pod: aPod({ nodeName: 'n1', phase: 'Pending', ...(spec === undefined ? {} : { spec }) }),
    gone: false,
    endingSinceMs: undefined,
    sandbox: a({ kind: 'sandbox' }),
    oldSandboxes: [],
    containers: [],
    networkReady: true,
    attached: true,
    unverified: false,
    volumesReady: true,
    setbacks: new Map(),
    images: new Map(),
    stopping: new Map(),
    stopped: new Map(),
    hooking: new Set(),
    removed: new Map(),
    probes: new Map(),
    messages: new Map(),
    hostIp: '192.0.2.10',
    ...rest,
  };
}

export const knownAs = (is: ContainerState): ContainerStatus => ({
  ...{ name: 'main', ready: true, restartCount: 2, image: 'example/web:1', imageID: 'x', containerID: 'docker://gone' },
  state: is,
});

const brief = (action: Action): string => {
  switch (action.type) {
    case 'start':
      return `start ${action.container.name}#${action.attempt}`;
    case 'pull':
      return `pull ${action.container.name}`;
    case 'stop':
      return `stop ${action.container.name} ${action.why}`;
    case 'kill':
    case 'remove':
      return `${action.type} ${action.container.name}#${action.container.attempt}`;
    case 'prepareVolumes':
    case 'updateVolumes':
    case 'startSandbox':
    case 'attachNetwork':
    case 'removeSandbox':
    case 'withdraw':
    case 'removeVolumes':
    case 'unmountVolumes':
    case 'confirmDeletion':
      return action.type;
  }
};
/** What is decided to do, each action in a word or two. */
export const decided = (given: PodState, nowMs = epochMs): readonly string[] =>
  reconcile(given, nowMs).actions.map(brief);
