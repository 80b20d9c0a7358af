import { RuntimeError } from '../../node-agent/runtime/runtime.ts';

/** Where a walk strikes: at the n-th call (from 1) that changes something, before or after its effect; and whom. */
export interface Strike {
  readonly call: number;
  readonly when: 'before' | 'after';
  readonly whom: 'agent' | 'engine' | 'both';
}

export interface Victims {
  agentDies(): void;
  /** From now on its calls fail; it comes back by itself. */
  engineDies(): void;
}

/**
 * Stands between an agent and its world, counts the calls that change something, and strikes at one of them as kill -9
 * would: no call of a dead agent ever returns or has an effect again; a call to a dead engine fails, whether or not it
 * had its effect. Without a strike it only counts.
 */
export class KillPoint {
  /** What was called so far, in order. */
  readonly calls: string[] = [];
  readonly #strike: Strike | undefined;
  readonly #victims: Victims | undefined;
  #dead = false;

  constructor(strike?: Strike, victims?: Victims) {
    this.#strike = strike;
    this.#victims = victims;
  }

  /** Whether the agent is dead. */
  get dead(): boolean {
    return this.#dead;
  }

  /** The same object, with these verbs counted; once the agent is dead, none of its verbs does anything. */
  guard<T extends object>(name: string, target: T, verbs: readonly (keyof T & string)[]): T {
    const counted = new Set<PropertyKey>(verbs);
    return new Proxy(target, {
      get: (of, property) => {
        const value: unknown = Reflect.get(of, property, of);
        if (typeof value !== 'function') return value;
        const call = value.bind(of) as (...args: unknown[]) => unknown;
        if (!counted.has(property)) return (...args: unknown[]) => (this.#dead ? never : call(...args));
        return (...args: unknown[]) => this.#counted(`${name}.${String(property)}`, async () => call(...args));
      },
    });
  }

  /** One more place to strike at, in the middle of something. */
  pass(what: string): Promise<unknown> {
    return this.#counted(what, async () => undefined);
  }

  async #counted(what: string, work: () => Promise<unknown>): Promise<unknown> {
    if (this.#dead) return never;
    this.calls.push(what);
    const hit = this.calls.length === this.#strike?.call ? this.#strike : undefined;
    if (hit?.when === 'before') this.#hit(hit);
    if (this.#isDead()) return never;
    try {
      return await work();
    } finally {
      if (hit?.when === 'after') this.#hit(hit);
      if (this.#isDead()) await never; // it died while this was under way: nobody is there to hear
      if (hit?.when === 'after' && what.startsWith('engine.'))
        throw new RuntimeError('Unavailable', 'the container engine does not answer'); // done, but never said so
    }
  }

  #isDead(): boolean {
    return this.#dead;
  }
  #hit({ whom }: Strike): void {
    if (whom !== 'agent') this.#victims?.engineDies();
    if (whom === 'engine') return;
    this.#dead = true;
    this.#victims?.agentDies();
  }
}

const never = new Promise<never>(() => undefined);
