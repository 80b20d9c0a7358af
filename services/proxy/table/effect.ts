import { mostBackendsTold, type PortEffect, type ServiceEffect } from '../../../lib/api/effects.ts';
import type { Key } from '../../../lib/api/keys.ts';
import type { CompiledTable } from './table.ts';

/** What a table has for one service, in words for people and programs; undefined when it has nothing of that name. */
export function effectOf(table: CompiledTable, key: Key): ServiceEffect | undefined {
  const piece = table.pieces.get(key);
  if (piece === undefined) return undefined;
  const ports = piece.targets.map(({ id, backends }): PortEffect => ({
    frontends: piece.frontends
      .map(([at]) => table.frontends.get(at))
      .flatMap((frontend) => (frontend?.target === id ? [frontend] : [])) // what an older service has is not ours
      .map(({ address, port, protocol }) => `${address}:${port}/${protocol}`),
    backends: backends.slice(0, mostBackendsTold),
    count: backends.length,
  }));
  const { serviceRevision, endpointsRevision } = piece;
  return { serviceRevision, endpointsRevision, ports };
}
