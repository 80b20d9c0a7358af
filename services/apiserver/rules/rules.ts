import type { CustomKind } from '../../../lib/api/custom/kind.ts';
import { objectAt, objectsAt, type Json } from '../../../lib/api/json.ts';
import type { CustomSchema } from '../../../lib/api/objects.ts';
import { Findings } from '../../../lib/api/validation/findings.ts';
import type { FieldCause } from '../../../lib/base/errors.ts';
import { askRules } from './ask.ts';
import { compileRules, type Ruled } from './compile.ts';

/** Schemas do not change; each is compiled with the first object. */
const compiled = new WeakMap<CustomSchema, { readonly ruled: Ruled | undefined }>();

/** The rules (`x-kubernetes-validations`) that an object of a user's kind breaks; it has passed its schema otherwise. */
export function brokenRules({ at }: CustomKind, object: Json, before: Json | undefined): readonly FieldCause[] {
  const schema = at.schema?.openAPIV3Schema;
  if (schema === undefined) return [];
  let known = compiled.get(schema);
  if (known === undefined) compiled.set(schema, (known = { ruled: compileRules(schema, '') }));
  return known.ruled === undefined ? [] : askRules(known.ruled, object, before);
}

/** What is wrong with the rules of a definition: such as do not compile, or name what the schema does not have. */
export function faultsOfRules(definition: Json): readonly FieldCause[] {
  const found = new Findings();
  objectsAt(objectAt(definition, 'spec'), 'versions').forEach((version, i) => {
    const schema = objectAt(objectAt(version, 'schema'), 'openAPIV3Schema') as CustomSchema;
    compileRules(schema, `spec.versions[${i}].schema.openAPIV3Schema`, found);
  });
  return found.causes;
}
