import type { Key } from '../../../lib/api/keys.ts';

/** One Service as HAProxy serves it. */
export interface Site {
  readonly key: Key;
  readonly address: string;
  readonly ports: readonly SitePort[];
  readonly sourceRanges: readonly string[];
  readonly affinitySeconds: number;
}
export interface SitePort {
  readonly port: number;
  /** `address:port`, sorted. */
  readonly backends: readonly string[];
}

export interface Paths {
  /** The socket of the process that serves. */
  readonly worker: string;
  /** Where a new process takes over what clients are bound to which endpoint. */
  readonly peers: string;
}

export interface Limits {
  /** 0: as many as its limit of open files allows. */
  readonly maxConnections: number;
  /** A connection on which nothing moved for so long is closed. */
  readonly idleSeconds: number;
}

/** The name of a section and, in HAProxy's statistics, of what it serves: `namespace:service:port`. */
export const sectionOf = (key: Key, port: number): string => `${key.replace('/', ':')}:${port}`;

/** What a section's name says. Undefined: it is none of ours. */
export function readSection(name: string): { namespace: string; service: string; port: string } | undefined {
  const [, namespace, service, port] = /^([^:]+):([^:]+):(\d+)$/.exec(name) ?? [];
  return namespace && service && port ? { namespace, service, port } : undefined;
}

/** Everything of a site but its endpoints: only when that changes has HAProxy to read its configuration again. */
export const shapeOf = ({ key, address, ports, sourceRanges, affinitySeconds }: Site): string =>
  JSON.stringify([key, address, ports.map(({ port }) => port), sourceRanges, affinitySeconds]);

/** The whole configuration. The comment above each site's sections is for `readShapes`. */
export function render(sites: readonly Site[], paths: Paths, limits: Limits): string {
  const { maxConnections, idleSeconds } = limits;
  return `# Written by the load-balancer-controller of Troupe; what is changed here is lost.
global${maxConnections === 0 ? '' : `\n  maxconn ${maxConnections}`}
  stats socket ${paths.worker} mode 600 level admin expose-fd listeners
  stats timeout 1m
  # Processes that finish their connections after so many changes of configuration are ended.
  mworker-max-reloads 100

defaults
  mode tcp
  balance roundrobin
  timeout connect 1s
  timeout client ${idleSeconds}s
  timeout server ${idleSeconds}s
  option clitcpka
  option srvtcpka
  # An endpoint that does not take a connection: another one does, at once.
  retries 3
  option redispatch 1

peers troupe
  bind unix@${paths.peers}
  server troupe
${sites.map(siteText).join('')}`;
}

function siteText(site: Site): string {
  const sections = site.ports.map(({ port, backends }) =>
    [
      `\nlisten ${sectionOf(site.key, port)}`,
      `  bind ${site.address}:${port}`,
      // Rules of one kind are joined by "or"; refused before anything is read or sent.
      ...(site.sourceRanges.length === 0
        ? []
        : [
            ...site.sourceRanges.map((range) => `  acl let-in src ${range}`),
            '  tcp-request connection reject if !let-in',
          ]),
      '  # A process that hands over to another counts no servers any more, but still serves whom it has taken in.',
      '  tcp-request connection reject if { nbsrv eq 0 } !{ stopping }',
      ...(site.affinitySeconds === 0
        ? []
        : [`  stick-table type ip size 100k expire ${site.affinitySeconds}s peers troupe`, '  stick on src']),
      ...backends.map((backend) => `  server ${backend} ${backend}`),
    ].join('\n'),
  );
  return `\n#site ${JSON.stringify({ ...site, ports: site.ports.map(({ port }) => ({ port, backends: [] })) })}${sections.join('\n')}\n`;
}

/** The sites of a configuration that `render` wrote, without endpoints: HAProxy itself knows those. */
export const readShapes = (text: string): readonly Site[] =>
  [...text.matchAll(/^#site (.*)$/gm)].map(([, json = '']) => JSON.parse(json) as Site);
