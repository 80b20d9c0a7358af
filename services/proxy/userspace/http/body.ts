import { BadMessage, type Framing } from './head.ts';

/** Of a chunk's size line, and of all trailers, no more than this is read. */
const maxLine = 4_096;
const maxTrailers = 65_536;

type State =
  'size' | 'extension' | 'size-end' | 'data' | 'data-cr' | 'data-lf' | 'line-start' | 'line' | 'line-lf' | 'end-lf';
const [cr, lf, semicolon] = [13, 10, 59];

/** Finds the end of a message's body in the bytes that arrive. The bytes are passed on as they are, chunks and trailers too. */
export class Body {
  readonly #framing: Framing;
  #left: number;
  #state: State = 'size';
  #digits = 0;
  #seen = 0;
  #done: boolean;

  constructor(framing: Framing) {
    this.#framing = framing;
    this.#left = framing.type === 'length' ? framing.length : 0;
    this.#done = framing.type === 'none';
  }

  get done(): boolean {
    return this.#done;
  }

  /** Where in `data`, from `at`, the body ends, or its end when it goes on. Throws BadMessage. */
  take(data: Buffer, at: number): number {
    if (this.#done) return at;
    switch (this.#framing.type) {
      case 'length': {
        const taken = Math.min(this.#left, data.length - at);
        this.#left -= taken;
        this.#done = this.#left === 0;
        return at + taken;
      }
      case 'chunked':
        return this.#takeChunks(data, at);
      case 'none':
      case 'until-close':
        return data.length;
    }
  }

  #takeChunks(data: Buffer, from: number): number {
    let at = from;
    while (at < data.length && !this.#done) {
      if (this.#state === 'data') {
        const taken = Math.min(this.#left, data.length - at);
        this.#left -= taken;
        at += taken;
        if (this.#left === 0) this.#state = 'data-cr';
        continue;
      }
      this.#step(data[at++] ?? 0);
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case 'data':
        return; // taken by whole parts
      case 'size': {
        const digit = hexOf(byte);
        if (digit >= 0) {
          if (++this.#digits > 12) throw new BadMessage('a chunk must not be so large');
          this.#left = this.#left * 16 + digit;
          return;
        }
        if (this.#digits === 0) throw new BadMessage('a chunk must begin with its size');
        this.#seen = 0;
        if (byte === cr) this.#state = 'size-end';
        else if (byte === semicolon) this.#state = 'extension';
        else throw new BadMessage('the size of a chunk must be a hexadecimal number');
        return;
      }
      case 'extension':
        if (byte === lf || ++this.#seen > maxLine) throw new BadMessage('the extension of a chunk is broken');
        if (byte === cr) this.#state = 'size-end';
        return;
      case 'size-end':
        this.#expect(byte, lf);
        this.#digits = 0;
        this.#seen = 0;
        this.#state = this.#left > 0 ? 'data' : 'line-start';
        return;
      case 'data-cr':
        this.#expect(byte, cr);
        this.#state = 'data-lf';
        return;
      case 'data-lf':
        this.#expect(byte, lf);
        this.#state = 'size';
        return;
      case 'line-start':
        if (byte === lf) throw new BadMessage('the trailers of a message are broken');
        this.#state = byte === cr ? 'end-lf' : 'line';
        return;
      case 'line':
        if (byte === lf || ++this.#seen > maxTrailers) throw new BadMessage('the trailers of a message are broken');
        if (byte === cr) this.#state = 'line-lf';
        return;
      case 'line-lf':
        this.#expect(byte, lf);
        this.#state = 'line-start';
        return;
      case 'end-lf':
        this.#expect(byte, lf);
        this.#done = true;
        return;
    }
  }

  #expect(byte: number, wanted: number): void {
    if (byte !== wanted) throw new BadMessage('a chunk must end with a line break');
  }
}

function hexOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 0x20;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
