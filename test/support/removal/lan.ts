import { execFileSync } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { netnsAt, type Netns } from '../netns.ts';

/**
 * A link that the machine shares with network namespaces, each of them a machine of its own as far as traffic goes: 172.30.<network>.0/24,
 * the machine itself is .1. `close` takes all of it away.
 */
export class Lan {
  readonly #bridge: string;
  readonly #network: number;
  readonly #spaces: (Netns & { close(): void })[] = [];
  readonly #relays: Server[] = [];
  #next = 2;

  constructor(network: number) {
    this.#network = network;
    this.#bridge = `ttlan${network}`;
    execFileSync('ip', ['link', 'add', this.#bridge, 'type', 'bridge']);
    execFileSync('ip', ['address', 'add', `${this.gateway}/24`, 'dev', this.#bridge]);
    execFileSync('ip', ['link', 'set', this.#bridge, 'up']);
  }

  get gateway(): string {
    return `172.30.${this.#network}.1`;
  }

  /** One more machine, with its address. */
  async join(role: string): Promise<{ readonly space: Netns; readonly ip: string }> {
    const name = `ttlan${this.#network}-${role}`;
    const ip = `172.30.${this.#network}.${this.#next++}`;
    execFileSync('ip', ['netns', 'add', name]);
    const space = netnsAt(name);
    this.#spaces.push(space);
    const device = `tl${this.#network}-${this.#next}`;
    execFileSync('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name]);
    execFileSync('ip', ['link', 'set', device, 'master', this.#bridge, 'up']);
    await space.run('ip', 'link', 'set', 'lo', 'up');
    await space.run('ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0');
    await space.run('ip', 'link', 'set', 'eth0', 'up');
    await space.run('ip', 'route', 'add', 'default', 'via', this.gateway);
    return { space, ip };
  }

  /** Lets the other machines reach what listens on this one's loopback: the address to use. */
  async reach(local: string): Promise<string> {
    const [host = '', port = ''] = local.split(':');
    const relay = createServer((client) => {
      const server = connect({ host, port: Number(port) });
      client.pipe(server).pipe(client);
      client.on('error', () => server.destroy());
      server.on('error', () => client.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, this.gateway, resolve));
    this.#relays.push(relay);
    return `${this.gateway}:${(relay.address() as AddressInfo).port}`;
  }

  close(): void {
    for (const relay of this.#relays) relay.close();
    for (const space of this.#spaces) space.close();
    execFileSync('ip', ['link', 'delete', this.#bridge]);
  }
}
