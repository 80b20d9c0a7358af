import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Node has no netlink sockets. This is a Perl of the base system, a package that no Debian is without, that does nothing but pass on bytes:
 * a message (length, bytes) from its input to the kernel, and what the kernel answers back. It ends with its input.
 */
const program = `
my $kernel = pack('SSLL', 16, 0, 0, 0);
socket(my $s, 16, 3, 12) or exit 71;
bind($s, $kernel) or exit 71;
binmode STDIN; binmode STDOUT;
while (read(STDIN, my $head, 4) == 4) {
  my $size = unpack('L', $head);
  read(STDIN, my $body, $size) == $size or last;
  my $answer = '';
  if (defined send($s, $body, 0, $kernel)) {
    while (defined recv($s, my $part, 65536, 64)) { last if $part eq ''; $answer .= $part }
  }
  syswrite(STDOUT, pack('L', length $answer) . $answer);
}`;

const timeoutMs = 5_000;
/** One that ends or does not answer twice in a row is not trusted again. */
const mostFailures = 2;

/** Hands batches to the kernel. Never call it again before it has settled. */
export class NetlinkRelay {
  readonly #program: string;
  #child: ChildProcess | undefined;
  #output: Buffer[] = [];
  #length = 0;
  #failures = 0;
  #waiting: { readonly resolve: (replies: Buffer) => void; readonly reject: (error: Error) => void } | undefined;

  /** Another program than that for netlink keeps to the same form of input and output. */
  constructor(other = program) {
    this.#program = other;
  }

  /** Whether it is worth trying. */
  get usable(): boolean {
    return this.#failures < mostFailures;
  }

  /** Starts the process before it is needed. */
  warm(): void {
    if (this.usable) this.#child ??= this.#start();
  }

  /** The next batch starts another process. */
  close(): void {
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  /**
   * Hands over messages and resolves to all that the kernel answers. Rejects when the process fails or does not answer in time: it is not
   * known then what took effect.
   */
  async exchange(batch: Buffer): Promise<Buffer> {
    const child = (this.#child ??= this.#start());
    const timer = setTimeout(() => {
      this.#fail(new Error(`the netlink relay did not answer within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        const head = Buffer.from(Uint32Array.of(batch.length).buffer);
        child.stdin?.write(Buffer.concat([head, batch]));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #start(): ChildProcess {
    const child = spawn('perl', ['-e', this.#program], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#output = [];
    this.#length = 0;
    child.stdout.on('data', (bytes: Buffer) => {
      if (this.#child === child) this.#hear(bytes);
    });
    child.stdin.on('error', () => undefined); // 'exit' tells
    child.on('error', (error) => {
      if (this.#child === child) this.#fail(error);
    });
    child.on('exit', (code) => {
      if (this.#child === child) this.#fail(new Error(`the netlink relay ended with code ${code}`));
    });
    // A batch under way holds this process by its timer; an idle relay does not.
    for (const held of [child, child.stdin, child.stdout]) (held as { unref?(): void }).unref?.();
    return child;
  }

  #hear(bytes: Buffer): void {
    this.#output.push(bytes);
    this.#length += bytes.length;
    if (this.#length < 4) return;
    let [head = bytes] = this.#output;
    if (head.length < 4) head = Buffer.concat(this.#output);
    const size = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
    if (this.#length < 4 + size) return;
    const replies = Buffer.concat(this.#output).subarray(4, 4 + size);
    this.#output = [];
    this.#length = 0;
    this.#failures = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(replies);
  }

  #fail(error: Error): void {
    const child = this.#child;
    this.#child = undefined;
    child?.kill('SIGKILL');
    this.#failures++;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}
