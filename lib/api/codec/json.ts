import { ApiError } from '../../base/errors.ts';

/** Objects and lists inside each other, at most. Nothing of the API comes near it; beyond it lies only harm. */
const maxDepth = 256;

/**
 * The value of a JSON text in UTF-8 (a byte order mark is skipped), and the paths of members that stand twice in one
 * object, of which the last one counts: `spec.replicas`, `metadata.labels[app]`. BadRequest with line and column where it is not JSON.
 */
export function parseJson(bytes: Uint8Array): { value: unknown; duplicates: string[] } {
  const text = decode(bytes);
  return { value: valueOf(text), duplicates: new Scanner(text).findDuplicates() };
}

/** The value alone, for where nobody asks for duplicates: finding them costs as much as parsing. BadRequest as above. */
export const parseJsonValue = (bytes: Uint8Array): unknown => valueOf(decode(bytes));

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The engine's own message differs between versions and often names no place: find it ourselves.
    const { at, problem } = new Scanner(text).findError();
    throw new ApiError('BadRequest', `not valid JSON: ${problem} at ${place(text, at)}`);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ApiError('BadRequest', 'not valid JSON: the text is not UTF-8');
  }
}

function place(text: string, at: number): string {
  const lines = text.slice(0, at).split('\n');
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

class ScanError extends Error {
  readonly at: number;
  constructor(at: number, problem: string) {
    super(problem);
    this.at = at;
  }
}

/** Walks over a text by the grammar of RFC 8259 without building anything. */
class Scanner {
  readonly #text: string;
  #at = 0;
  readonly #path: (string | number)[] = [];
  readonly #duplicates: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  findError(): { readonly at: number; readonly problem: string } {
    try {
      this.#skipSpace();
      this.#value();
      this.#skipSpace();
      if (this.#at < this.#text.length) this.#fail(`unexpected ${this.#here()} after the end of the value`);
    } catch (error) {
      if (error instanceof ScanError) return { at: error.at, problem: error.message };
      throw error;
    }
    return { at: this.#at, problem: 'the engine refuses it' };
  }

  findDuplicates(): string[] {
    try {
      this.#skipSpace();
      this.#value();
    } catch (error) {
      if (error instanceof ScanError) throw new ApiError('BadRequest', `not valid JSON: ${error.message}`);
      throw error;
    }
    return this.#duplicates;
  }

  #value(): void {
    switch (this.#text.charCodeAt(this.#at)) {
      case 0x7b /* { */:
        return this.#object();
      case 0x5b /* [ */:
        return this.#list();
      case 0x22 /* " */:
        this.#string();
        return;
      default:
        return this.#word();
    }
  }

  #object(): void {
    this.#enter();
    const seen = new Set<string>();
    this.#at++;
    this.#skipSpace();
    if (this.#take('}')) return;
    for (;;) {
      if (this.#text[this.#at] !== '"') this.#fail(`expected a member name in quotes, found ${this.#here()}`);
      const start = this.#at;
      const name = this.#string()
        ? (JSON.parse(this.#text.slice(start, this.#at)) as string)
        : this.#text.slice(start + 1, this.#at - 1);
      this.#path.push(name);
      if (seen.has(name)) this.#duplicates.push(pathText(this.#path));
      seen.add(name);
      this.#skipSpace();
      if (!this.#take(':')) this.#fail(`expected ":" after the member name, found ${this.#here()}`);
      this.#skipSpace();
      this.#value();
      this.#path.pop();
      this.#skipSpace();
      if (this.#take('}')) return;
      if (!this.#take(',')) this.#fail(`expected "," or "}", found ${this.#here()}`);
      this.#skipSpace();
    }
  }

  #list(): void {
    this.#enter();
    this.#at++;
    this.#skipSpace();
    if (this.#take(']')) return;
    for (let index = 0; ; index++) {
      this.#path.push(index);
      this.#value();
      this.#path.pop();
      this.#skipSpace();
      if (this.#take(']')) return;
      if (!this.#take(',')) this.#fail(`expected "," or "]", found ${this.#here()}`);
      this.#skipSpace();
    }
  }

  /** Steps over a string; true when it holds escapes. */
  #string(): boolean {
    const start = this.#at;
    let escaped = false;
    for (;;) {
      const code = this.#text.charCodeAt(++this.#at);
      if (code === 0x22) break;
      if (code === 0x5c) {
        escaped = true;
        const escape = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(this.#text.slice(this.#at, this.#at + 6));
        if (escape === null) this.#fail(`unknown escape in a string`);
        this.#at += (escape?.[0].length ?? 1) - 1;
      } else if (Number.isNaN(code)) throw new ScanError(start, 'a string does not end, begun');
      else if (code < 0x20) this.#fail('a string holds a control character (write \\n for a line end)');
    }
    this.#at++;
    return escaped;
  }

  #word(): void {
    literal.lastIndex = this.#at;
    const found = literal.exec(this.#text);
    if (found === null) return this.#fail(`unexpected ${this.#here()}`);
    this.#at = literal.lastIndex;
  }

  #enter(): void {
    if (this.#path.length >= maxDepth) this.#fail(`more than ${maxDepth} objects and lists inside each other`);
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #here(): string {
    const found = this.#text.codePointAt(this.#at);
    return found === undefined ? 'the end of the text' : JSON.stringify(String.fromCodePoint(found));
  }

  #fail(problem: string): never {
    throw new ScanError(this.#at, problem);
  }
}

const literal = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;

/** A path as people write it: `spec.containers[0].name`; names that are no plain words stand in brackets. */
export function pathText(path: readonly (string | number)[]): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${step}]`;
  }
  return text;
}
