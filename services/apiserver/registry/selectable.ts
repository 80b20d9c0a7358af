import { plainSteps } from '../../../lib/api/custom/json-path.ts';
import type { Kind } from './kinds.ts';

/** The fields by which a definition lets objects be selected, as paths. */
export const selectableIn = (kind: Kind): readonly string[] =>
  (kind.at?.selectableFields ?? []).flatMap(({ jsonPath }) => plainSteps(jsonPath)?.join('.') ?? []);
