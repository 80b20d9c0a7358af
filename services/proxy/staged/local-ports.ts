/** Above what the kernel gives to outgoing connections by default (32768 to 60999) and above node ports. */
const first = 61_000;
const last = 65_535;

/**
 * A port of this machine for each target that asks. It follows from the target's name, so that a new process as a rule gives the same one,
 * and rules that outlived the old one lead where they should.
 */
export class LocalPorts {
  readonly #byTarget = new Map<string, number>();
  readonly #taken = new Set<number>();

  /** The same again for the same target; undefined when all are taken. */
  take(target: string): number | undefined {
    const known = this.#byTarget.get(target);
    if (known !== undefined) return known;
    const count = last - first + 1;
    if (this.#taken.size >= count) return undefined;
    let port = first + (hash(target) % count);
    while (this.#taken.has(port)) port = port === last ? first : port + 1;
    this.#byTarget.set(target, port);
    this.#taken.add(port);
    return port;
  }

  release(target: string): void {
    const port = this.#byTarget.get(target);
    if (port === undefined) return;
    this.#byTarget.delete(target);
    this.#taken.delete(port);
  }
}

/** FNV-1a over the UTF-16 units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
