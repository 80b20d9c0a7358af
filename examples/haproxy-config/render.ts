/** Endpoints as the events carry them; only what is used here. */
export interface Endpoints {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly subsets?: readonly {
    readonly addresses?: readonly { readonly ip: string }[];
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
  }[];
}

/** Where HAProxy listens for a port of a Service. */
export interface Listener {
  /** `namespace/name` */
  readonly service: string;
  /** The name of the Service's port; empty where it has but one. */
  readonly port: string;
  readonly bind: string;
}

/** Reads `default/web:http=0.0.0.0:8080`, or `default/web=0.0.0.0:8080`. */
export function readListener(text: string): Listener {
  const [, service = '', port = '', bind = ''] = /^([^/:=]+\/[^/:=]+)(?::([^=]*))?=(\S+:\d+)$/.exec(text) ?? [];
  if (service === '') throw new Error(`--listen ${text}: write namespace/service:port=address:port`);
  return { service, port, bind };
}

/** The configuration: a section for each listener, its ready endpoints as servers, sorted. */
export function render(listeners: readonly Listener[], known: ReadonlyMap<string, Endpoints>): string {
  const sections = listeners.map(({ service, port, bind }) =>
    [
      `listen ${service.replace('/', ':')}${port === '' ? '' : `:${port}`}`,
      `  bind ${bind}`,
      ...serversOf(known.get(service), port).map((at) => `  server ${at} ${at}`),
    ].join('\n'),
  );
  return `${head}\n${sections.join('\n\n')}\n`;
}

function serversOf(endpoints: Endpoints | undefined, name: string): readonly string[] {
  const found = new Set<string>();
  for (const { addresses = [], ports = [] } of endpoints?.subsets ?? [])
    for (const at of ports)
      if ((at.name ?? '') === name && (at.protocol ?? 'TCP') === 'TCP')
        for (const { ip } of addresses) found.add(`${ip}:${at.port}`);
  return [...found].sort();
}

const head = `# Written by examples/haproxy-config; what is changed here is lost.
defaults
  mode tcp
  balance roundrobin
  timeout connect 3s
  timeout client 1h
  timeout server 1h
  retries 3
  option redispatch 1
`;
