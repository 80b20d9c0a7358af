import type { Pod, TokenRequest } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Caller } from '../../lib/client/client.ts';
import { VolumeError } from './driver.ts';
import { projectsToken } from './projection.ts';

export interface TokenWish {
  /** For whom it is meant; undefined: for the API. */
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

interface Held {
  readonly token: string;
  /** By the steady clock. */
  readonly renewMs: number;
  readonly endsMs: number;
}

const callTimeoutMs = 5_000;
/** A token is renewed after this much of its life, so that an API that is away for a while ends none. */
const renewAfter = 0.8;
/** With an API away, a token that still holds is given again, and asked for anew so soon. */
const retryMs = 10_000;
/** After a start of the agent, the tokens of its pods are renewed over so long, since nobody knows how old they are. */
const resumeWithinMs = 10_000;

/**
 * The tokens of this node's pods, each asked for once and renewed in time. `onDue` is told of a pod whose files should be
 * made anew. Tokens are in memory only: here, and in the pods' volumes.
 */
export class PodTokens {
  readonly #options: { readonly client: Caller; readonly clock: Clock; readonly random?: () => number };
  readonly #onDue: (podUid: string) => void;
  readonly #byPod = new Map<string, { readonly held: Map<string, Held>; cancel: () => void }>();

  constructor(
    options: { readonly client: Caller; readonly clock: Clock; readonly random?: () => number },
    onDue: (podUid: string) => void,
  ) {
    this.#options = options;
    this.#onDue = onDue;
  }

  /**
   * A token for the pod that holds for some time yet. Rejects with VolumeError where the API refuses it (the account is not
   * there), with ApiError while the API is away and no token holds.
   */
  async token(pod: Pod, wish: TokenWish): Promise<string> {
    const { clock } = this.#options;
    const { uid } = pod.metadata;
    const of = this.#of(uid);
    const id = `${wish.audience ?? ''} ${wish.expirationSeconds}`;
    const known = of.held.get(id);
    if (known !== undefined && clock.monotonic() < known.renewMs) return known.token;
    try {
      const token = await this.#ask(pod, wish);
      const now = clock.monotonic();
      const lifeMs = wish.expirationSeconds * 1000;
      of.held.set(id, { token, renewMs: now + lifeMs * renewAfter, endsMs: now + lifeMs });
      this.#wakeIn(uid, lifeMs * renewAfter);
      return token;
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Forbidden', 'Invalid'))
        throw new VolumeError(`no token for service account "${accountOf(pod)}": ${messageOf(error)}`, {
          cause: error,
        });
      if (known === undefined || clock.monotonic() >= known.endsMs) throw error;
      this.#wakeIn(uid, retryMs);
      return known.token;
    }
  }

  /** A pod whose token was written before our time. */
  resume(pod: Pod): void {
    if (!projectsToken(pod)) return;
    this.#of(pod.metadata.uid);
    this.#wakeIn(pod.metadata.uid, resumeWithinMs * (this.#options.random ?? Math.random)());
  }

  /** The pod needs no token any more. */
  forget(podUid: string): void {
    this.#byPod.get(podUid)?.cancel();
    this.#byPod.delete(podUid);
  }

  #of(uid: string): { readonly held: Map<string, Held>; cancel: () => void } {
    let of = this.#byPod.get(uid);
    if (of === undefined) this.#byPod.set(uid, (of = { held: new Map(), cancel: () => undefined }));
    return of;
  }

  /** One timer a pod, for whichever of its tokens is due first. */
  #wakeIn(uid: string, ms: number): void {
    const { clock } = this.#options;
    const of = this.#byPod.get(uid);
    if (of === undefined) return; // forgotten while its token was asked for
    of.cancel();
    const soonest = Math.min(
      ms,
      ...[...of.held.values()].map(({ renewMs }) => renewMs - clock.monotonic()).filter((left) => left > 0),
    );
    of.cancel = clock.after(soonest, () => {
      this.#onDue(uid);
    });
  }

  async #ask(pod: Pod, { audience, expirationSeconds }: TokenWish): Promise<string> {
    const { namespace = '', name, uid } = pod.metadata;
    const spec = {
      expirationSeconds,
      boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
      ...(audience === undefined || audience === '' ? {} : { audiences: [audience] }),
    };
    const request = { namespace, name: accountOf(pod), request: { spec } };
    const call = { timeoutMs: callTimeoutMs };
    const reply = await this.#options.client.call<TokenRequest>(service, 'CreateToken', request, call);
    return reply.status?.token ?? '';
  }
}

const service = 'troupe.v1.ServiceAccounts';
const accountOf = ({ spec }: Pod): string => spec.serviceAccountName ?? 'default';
