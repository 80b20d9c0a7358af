import { isUpToDate, type EffectsReply, type EffectState, type PortEffect } from '../../lib/api/effects.ts';

/** Backends shown in a row; the others are counted. */
const mostShown = 4;
export const effectHeadings = ['PART', 'NODE', 'MODE', 'STATE', 'LEADS TO'] as const;

/** A row a way in of each proxy and DNS server, for one Service; nodes that did not answer last. */
export function effectRows(reply: EffectsReply): string[][] {
  return [
    ...(reply.states ?? []).flatMap((state) => {
      const { part, node, mode, service } = state;
      const ports = (service?.ports ?? []).map(portText);
      const lines =
        ports.length === 0 ? [part === 'proxy' && service !== undefined ? 'no address of its own' : '-'] : ports;
      return lines.map((line, index) =>
        index === 0 ? [part, node, mode, stateText(state, reply), line] : ['', '', '', '', line],
      );
    }),
    ...silentRows(reply),
  ];
}

const silentRows = ({ silent = [] }: EffectsReply): string[][] =>
  silent.map(({ node, message }) => ['proxy', node, '-', message, '-']);

/** Whether it has what the API has, or since when it has not. */
export function stateText(state: EffectState, reply: EffectsReply): string {
  const { service, behindMs, drift } = state;
  const waits = behindMs > 0 ? `, changes wait since ${behindMs} ms` : '';
  const mended = drift > 0 ? `, ${drift} differences mended` : '';
  if (service === undefined) return `does not know it${waits}${mended}`;
  if (isUpToDate(service, reply)) return `up to date${mended}`;
  const { serviceRevision, endpointsRevision } = service;
  const has = `has revisions ${serviceRevision} and ${endpointsRevision || 'none'}`;
  return `behind: ${has}, not ${reply.serviceRevision ?? ''} and ${reply.endpointsRevision || 'none'}${waits}${mended}`;
}

function portText({ frontends = [], backends = [], count }: PortEffect): string {
  const shown = backends.slice(0, mostShown);
  const more = count - shown.length;
  const to = count === 0 ? 'nothing' : [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(' ');
  return `${frontends.join(' ') || 'nobody'} -> ${to}`;
}

export const partHeadings = ['PART', 'NODE', 'MODE', 'SERVICES', 'REVISIONS', 'STATE'] as const;

/** A row a proxy or DNS server; nodes that did not answer last. */
export function partRows(reply: EffectsReply): string[][] {
  return [
    ...(reply.states ?? []).map((state) => {
      const { part, node, mode, services, servicesRevision, endpointsRevision, behindMs, drift } = state;
      const waits = behindMs > 0 ? `changes wait since ${behindMs} ms` : 'at rest';
      const mended = drift > 0 ? `, ${drift} differences mended` : '';
      return [part, node, mode, String(services), `${servicesRevision}/${endpointsRevision}`, `${waits}${mended}`];
    }),
    ...(reply.silent ?? []).map(({ node, message }) => ['proxy', node, '-', '-', '-', message]),
  ];
}
