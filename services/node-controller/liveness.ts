/**
 * Whether a node is still there, from what was heard of it. All times are milliseconds on one steady clock of this
 * process, those of Leases too: the moment at which a renewal was seen, so that no two machines' clocks are compared.
 */
export interface Heard {
  /** Since when we know that the node exists. */
  readonly knownMs: number;
  /** The last heartbeat on the bus; undefined before the first. */
  readonly beatMs: number | undefined;
  /** The last renewal of the node's Lease that was seen to happen; undefined before the first. */
  readonly renewedMs: number | undefined;
  /** How long a renewal holds, as the Lease itself says. */
  readonly leaseMs: number | undefined;
}

/** Our own ear. */
export interface Listening {
  readonly connected: boolean;
  /** Since when `connected` has been what it is, or since when nothing can have been missed: the later of both. */
  readonly sinceMs: number;
}

export interface LivenessLimits {
  /** Silence on the bus that makes a node lost. Several times the 500 ms between heartbeats. */
  readonly silenceMs: number;
  /** After we begin to hear (start, reconnect, a stall of our own) nothing is concluded for so long. */
  readonly settleMs: number;
  /** How long a renewal holds where the Lease does not say. */
  readonly leaseMs: number;
}

/**
 * When the node counts as lost if nothing more is heard of it; in the past: it is lost.
 *
 * A node is lost when the bus *and* its Lease are silent (D3). An agent that cannot reach the bus renews its Lease
 * instead, at a faster pace; so a renewal seen well after the last heartbeat means that it lives without the bus, and then the Lease's own
 * duration counts. With no renewal the short silence on the bus suffices. While we ourselves do not hear the bus it
 * proves nothing, and Leases alone decide.
 */
export function lostAtMs(heard: Heard, listening: Listening, limits: LivenessLimits): number {
  const { silenceMs, settleMs } = limits;
  const leaseMs = heard.leaseMs ?? limits.leaseMs;
  const sinceMs = Math.max(listening.sinceMs, heard.knownMs);
  const beatMs = heard.beatMs ?? -Infinity;
  const renewedMs = heard.renewedMs ?? -Infinity;
  if (!listening.connected) return Math.max(beatMs, renewedMs, sinceMs) + leaseMs;
  const silentMs = Math.max(beatMs + silenceMs, sinceMs + settleMs);
  const livesWithoutBus = renewedMs > beatMs + silenceMs / 2 && renewedMs > sinceMs;
  return livesWithoutBus ? Math.max(renewedMs + leaseMs, silentMs) : silentMs;
}

interface Entry {
  readonly knownMs: number;
  beatMs: number | undefined;
  renewedMs: number | undefined;
  leaseMs: number | undefined;
  /** As the Lease has it; only compared with itself. */
  renewTime: string | undefined;
}

/** What we hold of a node: nothing until it was heard of, or silent for long enough since we listen. */
export type Judgement = 'heard' | 'lost' | undefined;

/** Keeps what was heard and what follows from it. Bounded by the nodes that exist: its owner forgets the others. */
export class Ear {
  readonly #heard = new Map<string, Entry>();
  readonly #judged = new Map<string, { readonly judgement: Judgement; readonly atMs: number }>();
  /** Found again since the last call of `judge`. */
  readonly #found = new Set<string>();
  readonly #limits: LivenessLimits;
  readonly #stallMs: number;
  #connected = false;
  #sinceMs: number;
  #tickMs: number;

  /** `stallMs`: a longer time between two calls of `judge` means that this process itself stood still. */
  constructor(limits: LivenessLimits, stallMs: number, nowMs: number) {
    this.#limits = limits;
    this.#stallMs = stallMs;
    this.#sinceMs = nowMs;
    this.#tickMs = nowMs;
  }

  /** The node exists. Telling it again does nothing. */
  know(node: string, nowMs: number): void {
    this.#of(node, nowMs);
  }

  /** A sign of life. It ends the loss of a node at once: until the next judgement its agent and we would contradict each other. */
  beat(node: string, nowMs: number): void {
    const heard = this.#of(node, nowMs);
    heard.beatMs = nowMs;
    const before = this.#judged.get(node);
    if (before?.judgement !== 'lost' || this.#judge(heard, before, nowMs) === 'lost') return;
    this.#judged.set(node, { judgement: 'heard', atMs: nowMs });
    this.#found.add(node);
  }

  /** The Lease as it is now. Seeing it for the first time tells nothing: it may be old. */
  lease(node: string, lease: { readonly renewTime?: string; readonly durationMs?: number }, nowMs: number): void {
    const heard = this.#of(node, nowMs);
    heard.leaseMs = lease.durationMs;
    if (lease.renewTime === undefined || lease.renewTime === heard.renewTime) return;
    if (heard.renewTime !== undefined) heard.renewedMs = nowMs;
    heard.renewTime = lease.renewTime;
  }

  forget(node: string): void {
    this.#heard.delete(node);
    this.#judged.delete(node);
    this.#found.delete(node);
  }

  connection(connected: boolean, nowMs: number): void {
    this.#connected = connected;
    this.#sinceMs = nowMs;
  }

  /** Messages may have been lost: silence up to now proves nothing. */
  missed(nowMs: number): void {
    this.#sinceMs = nowMs;
  }

  judgement(node: string): Judgement {
    return this.#judged.get(node)?.judgement;
  }

  /**
   * Since when nothing was heard of the node, in ms. No more than it takes to judge by silence on the bus: what lived by its Lease alone,
   * or fell silent while we were deaf, has been silent for us no longer.
   */
  silentForMs(node: string, nowMs: number): number {
    const { beatMs = -Infinity, renewedMs = -Infinity } = this.#heard.get(node) ?? {};
    return Math.min(nowMs - Math.max(beatMs, renewedMs), this.#limits.silenceMs + this.#stallMs);
  }

  get lost(): number {
    let count = 0;
    for (const { judgement } of this.#judged.values()) if (judgement === 'lost') count += 1;
    return count;
  }

  /** Judges anew, which is to be done regularly; the nodes that are judged otherwise than before. */
  judge(nodes: Iterable<string>, nowMs: number): readonly string[] {
    if (nowMs - this.#tickMs > this.#stallMs) this.#sinceMs = nowMs; // full of silence that was our own
    this.#tickMs = nowMs;
    const changed = new Set(this.#found);
    this.#found.clear();
    for (const node of nodes) {
      const before = this.#judged.get(node);
      const judgement = this.#judge(this.#of(node, nowMs), before, nowMs);
      if (judgement === before?.judgement) continue;
      this.#judged.set(node, { judgement, atMs: nowMs });
      changed.add(node);
    }
    return [...changed];
  }

  /** Once lost, only hearing from it brings a node back: that we ourselves were deaf for a while does not. */
  #judge(heard: Entry, before: { judgement: Judgement; atMs: number } | undefined, nowMs: number): Judgement {
    if (lostAtMs(heard, { connected: this.#connected, sinceMs: this.#sinceMs }, this.#limits) <= nowMs) return 'lost';
    const lastMs = Math.max(heard.beatMs ?? -Infinity, heard.renewedMs ?? -Infinity);
    if (before?.judgement === 'lost') return lastMs > before.atMs ? 'heard' : 'lost';
    return lastMs > -Infinity ? 'heard' : before?.judgement;
  }

  #of(node: string, nowMs: number): Entry {
    let heard = this.#heard.get(node);
    if (heard === undefined) {
      heard = { knownMs: nowMs, beatMs: undefined, renewedMs: undefined, leaseMs: undefined, renewTime: undefined };
      this.#heard.set(node, heard);
    }
    return heard;
  }
}
