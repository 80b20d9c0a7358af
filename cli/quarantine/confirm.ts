import { isUpToDate, type EffectsReply } from '../../lib/api/effects.ts';
import { keyOf, makeKey } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import { wait } from '../../lib/base/clock.ts';
import { resourceNamed } from '../kinds.ts';
import type { Session } from '../session.ts';

/** What is asked for is spread over the API and every node, whose proxies can only be asked: for the seconds that it takes. */
const everyMs = 200;
const effectsTimeoutMs = 1_000;

/** One thing to wait for: what to say once it is so; undefined while it is not. */
type Check = () => Promise<string | undefined>;

/** Says each thing as soon as it is so. Rejects after `timeoutMs`, naming what is not. */
export async function confirm(session: Session, checks: ReadonlyMap<string, Check>, timeoutMs: number): Promise<void> {
  const { clock } = session.shell;
  const untilMs = clock.monotonic() + timeoutMs;
  const left = new Map(checks);
  for (;;) {
    for (const [what, check] of left) {
      const said = await check();
      if (said === undefined) continue;
      session.note(said);
      left.delete(what);
    }
    if (left.size === 0) return;
    if (clock.monotonic() >= untilMs)
      throw new Error(
        `not so after ${timeoutMs / 1000} s: ${[...left.keys()].join('; ')}. The labels stay as they are now`,
      );
    await wait(clock, everyMs, session.signal);
  }
}

/** The pod is out of the Endpoints of a Service, and all proxies and DNS servers have that in effect. */
export function outOfService(session: Session, { metadata: { namespace = '', uid } }: Pod, name: string): Check {
  return async () => {
    const client = await session.client();
    const endpoints = await client.get('endpoints', makeKey(namespace, name), session.call);
    const addresses = (endpoints?.subsets ?? []).flatMap((subset) => [
      ...(subset.addresses ?? []),
      ...(subset.notReadyAddresses ?? []),
    ]);
    if (addresses.some(({ targetRef }) => targetRef?.uid === uid)) return undefined;
    const request = { namespace, name, timeoutMs: effectsTimeoutMs };
    const reply = await client.call<EffectsReply>('troupe.v1.Effects', 'List', request, session.call);
    const states = reply.states ?? [];
    if (!states.every(({ service }) => service !== undefined && isUpToDate(service, reply))) return undefined;
    const silent = (reply.silent ?? []).map(({ node }) => node);
    if (silent.length > 0) return undefined;
    return `service/${name} leads elsewhere: ${states.length} of ${states.length} proxies and DNS servers say so`;
  };
}

/** Its controller has let it go, and has as many ready pods as it wants, where it counts them. */
export function replaced(session: Session, pod: Pod): Check | undefined {
  const owner = controllerOf(pod);
  const resource = owner === undefined ? undefined : resourceNamed(owner.kind);
  if (owner === undefined || resource === undefined) return undefined;
  const who = `${owner.kind.toLowerCase()}/${owner.name}`;
  return async () => {
    const client = await session.client();
    const now = await client.get('pods', keyOf(pod), session.call);
    if (now !== undefined && controllerOf(now)?.uid === owner.uid) return undefined;
    const found = await client.get(resource, makeKey(pod.metadata.namespace ?? '', owner.name), session.call);
    if (found === undefined) return `${who} is gone`;
    const { spec, status, metadata } = found as unknown as Counting;
    if (spec?.replicas === undefined) return `${who} has let it go`;
    if (status?.observedGeneration !== undefined && status.observedGeneration !== metadata.generation) return undefined;
    const ready = status?.readyReplicas ?? 0;
    return ready >= spec.replicas ? `${who} has let it go and has ${ready} ready pods without it` : undefined;
  };
}

interface Counting {
  readonly metadata: { readonly generation?: number };
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly readyReplicas?: number; readonly observedGeneration?: number };
}
