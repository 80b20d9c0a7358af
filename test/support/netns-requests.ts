import { createInterface } from 'node:readline';

/** The inner half of a `Peer`: answers each request line by the verb of that name. `ping` is always there. */
export function serveRequests(verbs: Readonly<Record<string, (args: never) => unknown>>): void {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, verb, args } = JSON.parse(line) as { id: number; verb: string; args: never };
    const say = (answer: object): void => void process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
    const work = async (): Promise<unknown> => {
      if (verb === 'ping') return 'pong';
      const found = verbs[verb];
      if (found === undefined) throw new Error(`no verb ${verb}`);
      return found(args);
    };
    work().then(
      (value) => say({ value: value ?? null }),
      (error: unknown) => say({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
}
