/** An entry of the kernel's connection tracking. */
export interface Flow {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly client: { readonly ip: string; readonly port: number };
  /** What the client connected to. */
  readonly address: string;
  readonly port: number;
  /** Who answers: `10.1.2.3:8080`. */
  readonly backend: string;
  /** TCP, and nothing has come back yet. */
  readonly opening: boolean;
  readonly answered: boolean;
  /** It has a mark of ours. */
  readonly isOurs: boolean;
  /** What names it to the kernel: the client's side as the kernel wrote it, and its number. */
  readonly tuple: Buffer;
  readonly id?: Buffer;
}

/** Which flows to list; what is absent does not matter. */
export interface Selection {
  readonly ours?: true;
  readonly protocol?: Flow['protocol'];
  readonly backendIp?: string;
  readonly unanswered?: true;
}
