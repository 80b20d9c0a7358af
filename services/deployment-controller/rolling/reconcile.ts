import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { isActive, isDeleting } from '../../../lib/api/pods.ts';
import {
  agreementOf,
  orderOf,
  predecessorOf,
  rollingOrderAnnotation,
  rollingStatusAnnotation,
  rollingStatusOf,
  rollingUpdateAnnotation,
  type RollingAgreement,
  type RollingStatus,
} from '../../../lib/api/rolling-updates.ts';
import { boundsOf, rollOut, type Group } from '../../../lib/rollout/rollout.ts';
import { judge, type Judged } from './judge.ts';
import { hasSeen, type Seen } from './seen.ts';

/** What this loop wants done now, in this order. Deciding is kept apart from doing. */
export interface Plan {
  readonly status?: RollingStatus;
  /** Pods of the old controller that lack the label which tells them from the new ones. */
  readonly label?: readonly Pod[];
  /** The old controller with that label in its selector; only when the API itself shows no pod without it. */
  readonly select?: ReplicationController;
  /** Controllers with what is to change of them: those that grow first. */
  readonly write: readonly ReplicationController[];
  /** The one that has given all its pods away. */
  readonly remove?: ReplicationController;
  /** All is done but the name. */
  readonly rename?: boolean;
  readonly wakeInMs?: number;
}

const nothing: Plan = { write: [] };

/**
 * The next step of a rolling update: one controller up, the other one down, by `lib/rollout`; back with their roles reversed.
 * Depends on its arguments only and gives a plan without work while there is nothing to do, so that anyone may run it at any time.
 */
export function reconcile(seen: Seen): Plan {
  const { next, old } = seen;
  const agreement = agreementOf(next);
  if (agreement === undefined || isDeleting(next)) return nothing;
  // It is handing its pods to one with its final name.
  if (old !== undefined && predecessorOf(old)?.uid === next.metadata.uid) return nothing;
  if (orderOf(next) === 'resume') return resume(seen, agreement);
  if (old !== undefined && agreement.label !== undefined && seen.rival === undefined) {
    const marking = mark(seen, agreement.label);
    if (marking !== undefined) return marking;
  }
  const judged = judge(seen, agreement);
  if (judged.order === 'back' && orderOf(next) !== 'back')
    return {
      status: judged.status,
      write: [annotated(next, { [rollingOrderAnnotation]: 'back', ...told(judged.status) })],
    };
  if (judged.isDone) return finish(seen, agreement, judged);
  const isCurrent = [next, old].every((rc) => rc === undefined || hasSeen(rc));
  const sizes = isCurrent && judged.mayStep ? sizesOf(seen, agreement, judged) : new Map<string, number>();
  const grows = (sizes.get(next.metadata.name) ?? 0) > next.spec.replicas;
  const status = grows ? { ...judged.status, steppedAt: judged.now } : judged.status;
  const write = [sized(next, sizes, told(status)), ...(old === undefined ? [] : [sized(old, sizes)])]
    .filter((rc) => differs(rc, rc.metadata.name === next.metadata.name ? next : old))
    .sort((a, b) => growthOf(b, seen) - growthOf(a, seen));
  return { status, write, ...(judged.wakeInMs !== undefined && { wakeInMs: judged.wakeInMs }) };
}

function sizesOf({ next, old }: Seen, agreement: RollingAgreement, judged: Judged): ReadonlyMap<string, number> {
  const { isBack, replicas, isHeld, limit } = judged;
  const [into, outOf] = isBack ? [old, next] : [next, old];
  const aim = {
    ...{ replicas, held: isHeld, ...boundsOf(replicas, agreement) },
    ...(limit !== undefined && { limit }),
  };
  const sizes = rollOut(aim, into && groupOf(into, 1), outOf === undefined ? [] : [groupOf(outOf, 0)]);
  return new Map(sizes.map(({ name, wanted }) => [name, wanted]));
}

const groupOf = ({ metadata, spec, status }: ReplicationController, bornMs: number): Group => ({
  name: metadata.name,
  wanted: spec.replicas,
  present: status.replicas,
  ready: status.readyReplicas ?? 0,
  available: status.availableReplicas ?? 0,
  going: 0,
  bornMs,
});

/** An order to go on: the canary has been seen, or the failure; what comes counts from now. */
function resume({ next, nowMs }: Seen, agreement: RollingAgreement): Plan {
  const before = rollingStatusOf(next);
  const { canary, ...rest } = agreement;
  const isPast = before?.phase === 'Canary' || canary === undefined;
  const now = new Date(nowMs).toISOString();
  const { reason: _, message: __, ...kept } = before ?? ({} as RollingStatus);
  const status = before === undefined ? {} : told({ ...kept, phase: 'Progressing', progressedAt: now });
  const { [rollingOrderAnnotation]: ___, ...annotations } = next.metadata.annotations ?? {};
  const plain = { ...next, metadata: { ...next.metadata, annotations } };
  return {
    write: [annotated(plain, { ...status, ...(isPast && { [rollingUpdateAnnotation]: JSON.stringify(rest) }) })],
  };
}

/** The pods of the old controller get the label that tells them from the new ones, then its selector asks for it. */
function mark({ next, old, oldPods }: Seen, { key, value }: NonNullable<RollingAgreement['label']>): Plan | undefined {
  if (old === undefined || old.spec.selector[key] !== undefined || predecessorOf(old) !== undefined) return undefined;
  const { template } = old.spec;
  const labels = { ...template.metadata?.labels, [key]: value };
  if (template.metadata?.labels?.[key] !== value) {
    const marked = { ...template, metadata: { ...template.metadata, labels } };
    return { write: [{ ...old, spec: { ...old.spec, template: marked } }] };
  }
  if (!hasSeen(old)) return nothing;
  const label = oldPods.filter((pod) => isActive(pod) && pod.metadata.labels?.[key] !== value);
  if (label.length > 0) return { label: label.map((pod) => labelled(pod, key, value)), write: [] };
  const selector = { ...old.spec.selector, [key]: value };
  return next.spec.selector[key] === value
    ? nothing
    : { select: { ...old, spec: { ...old.spec, selector } }, write: [] };
}

export const labelled = (pod: Pod, key: string, value: string): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [key]: value } },
});

/** The one without pods goes; what is said of the update stays with the one that has them, whatever dies in between. */
function finish({ next, old }: Seen, agreement: RollingAgreement, { isBack, status }: Judged): Plan {
  if (isBack && old !== undefined) {
    const kept = annotated(old, told(status));
    return differs(kept, old) ? { status, write: [kept] } : { status, write: [], remove: next };
  }
  if (old !== undefined) return { status, write: [], remove: old };
  return agreement.rename ? { status, write: [], rename: true } : { status, write: [ended(next, status)] };
}

/** Without what the update needed, with what came of it. */
export function ended(rc: ReplicationController, status: RollingStatus): ReplicationController {
  const { [rollingUpdateAnnotation]: _, [rollingOrderAnnotation]: __, ...annotations } = rc.metadata.annotations ?? {};
  return annotated({ ...rc, metadata: { ...rc.metadata, annotations } }, told(status));
}

const told = (status: RollingStatus): Readonly<Record<string, string>> => ({
  [rollingStatusAnnotation]: JSON.stringify(status),
});
const annotated = (
  rc: ReplicationController,
  annotations: Readonly<Record<string, string>>,
): ReplicationController => ({
  ...rc,
  metadata: { ...rc.metadata, annotations: { ...rc.metadata.annotations, ...annotations } },
});
function sized(
  rc: ReplicationController,
  sizes: ReadonlyMap<string, number>,
  annotations: Readonly<Record<string, string>> = {},
): ReplicationController {
  const replicas = sizes.get(rc.metadata.name) ?? rc.spec.replicas;
  return annotated({ ...rc, spec: { ...rc.spec, replicas } }, annotations);
}

const differs = (rc: ReplicationController, before: ReplicationController | undefined): boolean =>
  rc.spec.replicas !== before?.spec.replicas ||
  rc.metadata.annotations?.[rollingStatusAnnotation] !== before.metadata.annotations?.[rollingStatusAnnotation];

const growthOf = (rc: ReplicationController, { next, old }: Seen): number =>
  rc.spec.replicas - ((rc.metadata.name === next.metadata.name ? next : old)?.spec.replicas ?? 0);
