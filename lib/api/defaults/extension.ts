import type { MutableJson } from '../json.ts';
import { each, ensured, fill, fillText, inside } from './fill.ts';

/** What follows from the kind's name, and how objects get from version to version: not at all. */
export function defaultDefinition(definition: MutableJson): void {
  ensured(definition, 'status');
  const spec = ensured(definition, 'spec');
  if (spec === undefined) return;
  fill(spec, 'conversion', { strategy: 'None' });
  const names = ensured(spec, 'names');
  if (names !== undefined && typeof names['kind'] === 'string' && names['kind'] !== '') {
    fillText(names, 'singular', names['kind'].toLowerCase());
    fillText(names, 'listKind', `${names['kind']}List`);
  }
  for (const version of each(spec, 'versions')) {
    fill(version, 'served', false);
    fill(version, 'storage', false);
    const subresources = inside(version, 'subresources');
    const scale = subresources === undefined ? undefined : inside(subresources, 'scale');
    if (scale?.['labelSelectorPath'] === '') delete scale['labelSelectorPath'];
  }
}
