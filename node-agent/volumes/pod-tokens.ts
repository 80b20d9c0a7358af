import type { Pod, TokenRequest } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Caller } from '../../lib/client/client.ts';
import { VolumeError } from './driver.ts';
import { tokenWishes, type TokenWish } from './projection.ts';

export interface PodTokensOptions {
  readonly client: Caller;
  readonly clock: Clock;
  readonly random?: () => number;
}

interface Held {
  readonly wish: TokenWish;
  readonly token: string;
  /** By the steady clock. */
  readonly renewMs: number;
  readonly endsMs: number;
}
interface OfPod {
  readonly pod: Pod;
  readonly held: Map<string, Held>;
  cancel: () => void;
}

const callTimeoutMs = 5_000;
/** A token is renewed after this much of its life, so that an API that is away for a while ends none. */
const renewAfter = 0.8;
const retryMs = 10_000;
/** What the API refuses it will mostly refuse again. */
const refusedRetryMs = 60_000;
/** After a start of the agent, the tokens of its pods are renewed over so long, since nobody knows how old they are. */
const resumeWithinMs = 10_000;

/**
 * The tokens of this node's pods, each asked for once and renewed in time. The new one is there before `onChange` tells
 * that the pod's files should be made anew: an API that is away keeps no pod from what it does. Tokens are in memory
 * only: here, and in the pods' volumes.
 */
export class PodTokens {
  readonly #options: PodTokensOptions;
  readonly #onChange: (podUid: string) => void;
  readonly #byPod = new Map<string, OfPod>();

  constructor(options: PodTokensOptions, onChange: (podUid: string) => void) {
    this.#options = options;
    this.#onChange = onChange;
  }

  /**
   * A token for the pod that holds now. Rejects with VolumeError where the API refuses it (the account is not there), with
   * ApiError while the API is away.
   */
  async token(pod: Pod, wish: TokenWish): Promise<string> {
    const of = this.#of(pod);
    const known = of.held.get(idOf(wish));
    if (known !== undefined && this.#options.clock.monotonic() < known.endsMs) return known.token;
    try {
      const { token } = await this.#ask(of, wish);
      this.#wakeForNext(of);
      return token;
    } catch (error) {
      if (!isRefused(error)) throw error;
      throw new VolumeError(`no token for service account "${accountOf(pod)}": ${messageOf(error)}`, { cause: error });
    }
  }

  /** A pod whose tokens were written before our time. */
  resume(pod: Pod): void {
    const wishes = tokenWishes(pod);
    if (wishes.length === 0) return;
    const of = this.#of(pod);
    // They are as good as due: what they say of their end is not known here.
    for (const wish of wishes) of.held.set(idOf(wish), { wish, token: '', renewMs: -Infinity, endsMs: -Infinity });
    this.#wakeIn(of, resumeWithinMs * (this.#options.random ?? Math.random)());
  }

  /** The pod needs no token any more. */
  forget(podUid: string): void {
    this.#byPod.get(podUid)?.cancel();
    this.#byPod.delete(podUid);
  }

  #of(pod: Pod): OfPod {
    const { uid } = pod.metadata;
    let of = this.#byPod.get(uid);
    if (of === undefined) this.#byPod.set(uid, (of = { pod, held: new Map(), cancel: () => undefined }));
    return of;
  }

  async #renew(of: OfPod): Promise<void> {
    const now = this.#options.clock.monotonic();
    const due = [...of.held.values()].filter(({ renewMs }) => renewMs <= now);
    try {
      for (const { wish } of due) await this.#ask(of, wish);
      this.#wakeForNext(of);
    } catch (error) {
      this.#wakeIn(of, isRefused(error) ? refusedRetryMs : retryMs);
      if (!isRefused(error)) return; // the files have what they have
    }
    if (due.length > 0 && this.#isKnown(of)) this.#onChange(of.pod.metadata.uid);
  }

  #wakeForNext(of: OfPod): void {
    const next = Math.min(...[...of.held.values()].map(({ renewMs }) => renewMs));
    this.#wakeIn(of, Math.max(0, next - this.#options.clock.monotonic()));
  }

  /** One timer a pod. */
  #wakeIn(of: OfPod, ms: number): void {
    of.cancel();
    if (this.#isKnown(of)) of.cancel = this.#options.clock.after(ms, () => void this.#renew(of));
  }

  /** Not forgotten while something was asked for it. */
  #isKnown(of: OfPod): boolean {
    return this.#byPod.get(of.pod.metadata.uid) === of;
  }

  async #ask(of: OfPod, wish: TokenWish): Promise<Held> {
    const { audience, expirationSeconds } = wish;
    const { namespace = '', name, uid } = of.pod.metadata;
    const spec = {
      expirationSeconds,
      boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
      ...(audience === undefined || audience === '' ? {} : { audiences: [audience] }),
    };
    const request = { namespace, name: accountOf(of.pod), request: { spec } };
    const asked = this.#options.clock.monotonic();
    const call = { timeoutMs: callTimeoutMs };
    const reply = await this.#options.client.call<TokenRequest>(service, 'CreateToken', request, call);
    const lifeMs = expirationSeconds * 1000;
    const token = reply.status?.token ?? '';
    const held = { wish, token, renewMs: asked + lifeMs * renewAfter, endsMs: asked + lifeMs };
    of.held.set(idOf(wish), held);
    return held;
  }
}

const service = 'troupe.v1.ServiceAccounts';
const idOf = ({ audience, expirationSeconds }: TokenWish): string => `${audience ?? ''} ${expirationSeconds}`;
const accountOf = ({ spec }: Pod): string => spec.serviceAccountName ?? 'default';
const isRefused = (error: unknown): boolean => hasReason(error, 'NotFound', 'Forbidden', 'Invalid');
