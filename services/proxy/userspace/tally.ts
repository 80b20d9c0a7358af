/** What a service port has carried, by outcome. Connections are those carried whole; requests those told apart. */
export class Tally {
  readonly connections = new Map<string, number>();
  readonly requests = new Map<string, number>();

  connection(outcome: string): void {
    this.connections.set(outcome, (this.connections.get(outcome) ?? 0) + 1);
  }

  request(outcome: string): void {
    this.requests.set(outcome, (this.requests.get(outcome) ?? 0) + 1);
  }

  add(other: Tally): void {
    for (const kind of ['connections', 'requests'] as const)
      for (const [outcome, count] of other[kind]) this[kind].set(outcome, (this[kind].get(outcome) ?? 0) + count);
  }
}

/** What one service port has to tell: a tally for each backend of now, and one for all that have left. */
export interface Told {
  /** `namespace/service/protocol/port`, with `/external` for traffic from outside. */
  readonly id: string;
  readonly backends: Iterable<{ readonly address: string; readonly tally: Tally; readonly active: number }>;
  readonly gone: Tally;
  /** Clients that wait for a backend. */
  readonly waiting: number;
}

/** The figures in the form of Prometheus. Backends that left are one, `gone`, so that sums never fall and names never pile up. */
export function tallyText(all: Iterable<Told>): string {
  const lines = {
    requests: ['# TYPE troupe_proxy_requests_total counter'],
    connections: ['# TYPE troupe_proxy_connections_total counter'],
  };
  const active = ['# TYPE troupe_proxy_active gauge'];
  const held = ['# TYPE troupe_proxy_held gauge'];
  for (const { id, backends, gone, waiting } of all) {
    const [namespace = '', service = '', , port = '', outside] = id.split('/');
    const labels = `namespace="${namespace}",service="${service}",port="${port}",from="${outside === undefined ? 'inside' : 'outside'}"`;
    const tell = (backend: string, tally: Tally): void => {
      for (const kind of ['connections', 'requests'] as const)
        for (const [outcome, count] of tally[kind])
          lines[kind].push(
            `troupe_proxy_${kind}_total{${labels},backend="${backend}",outcome="${escaped(outcome)}"} ${count}`,
          );
    };
    for (const backend of backends) {
      tell(backend.address, backend.tally);
      if (backend.active > 0)
        active.push(`troupe_proxy_active{${labels},backend="${backend.address}"} ${backend.active}`);
    }
    tell('gone', gone);
    if (waiting > 0) held.push(`troupe_proxy_held{${labels}} ${waiting}`);
  }
  return [...lines.requests, ...lines.connections, ...active, ...held, ''].join('\n');
}

/** Outcomes of policies are text of others. */
const escaped = (text: string): string => text.slice(0, 64).replaceAll(/[^A-Za-z0-9_.:-]/g, '_');
