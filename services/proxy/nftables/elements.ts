import type { Protocol } from '../../../lib/api/objects.ts';
import type { Backend, Frontend, Guard } from '../table/table.ts';
import { address, concat, mark, port, protocol } from './netlink.ts';
import type { Element } from './transaction.ts';

/** The elements of the sets and maps that every table of ours has; `skeleton.ts` says what they are for. */

export const slotElement = (slot: number, backend: Backend): Element => {
  const [ip, number] = partsOf(backend);
  return {
    text: `${slot} : ${ip} . ${number}`,
    key: () => mark(slot),
    data: () => concat(address(ip), port(number)),
  };
};
export const slotKey = (slot: number): Element => ({ text: String(slot), key: () => mark(slot) });

export const localElement = (ip: string): Element => ({
  text: `${ip} . ${ip}`,
  key: () => concat(address(ip), address(ip)),
});

/** `where` without a verdict names the element to delete. */
export function frontendElement(where: Omit<Frontend, 'target'>, verdict?: string): Element {
  const place = where.address === '*' ? '' : `${where.address} . `;
  const to = verdict === undefined ? '' : ` : ${verdict}`;
  return { text: `${place}${where.protocol.toLowerCase()} . ${where.port}${to}` };
}

export const guardedElement = ({ backend, protocol: name }: Guard): Element => placeElement([], backend, name);

export const admittedElement = ({ backend, protocol: name }: Guard, client: string): Element =>
  placeElement([client], backend, name);

export const clientElement = (client: string): Element =>
  client.includes('/') ? { text: client } : { text: client, key: () => address(client) };

function placeElement(before: readonly string[], backend: Backend, name: Protocol): Element {
  const [ip, number] = partsOf(backend);
  return {
    text: [...before, ip, name.toLowerCase(), number].join(' . '),
    key: () => concat(...before.map(address), address(ip), protocol(name), port(number)),
  };
}

const partsOf = (backend: Backend): readonly [ip: string, port: number] => {
  const at = backend.lastIndexOf(':');
  return [backend.slice(0, at), Number(backend.slice(at + 1))];
};
