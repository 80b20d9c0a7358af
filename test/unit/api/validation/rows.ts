import assert from 'node:assert/strict';
import type { FieldCause } from '../../../../lib/base/errors.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { Json } from '../../../../lib/api/json.ts';
import type { Resource } from '../../../../lib/api/kinds.ts';
import { validateCreate } from '../../../../lib/api/validation/index.ts';
import { changed } from '../../../support/changed.ts';

/** A change to a valid object, and what is wrong with it then: the field, and a part of the message. */
export type Row = readonly [changes: Json, field?: string, message?: string | RegExp];

/** One `it` a row: the object with the change, defaulted as the server would, breaks exactly that rule, or none. */
export function rows(resource: Resource, valid: object, list: readonly Row[]): void {
  for (const [changes, field, message] of list) {
    const what = short(changes);
    it(field === undefined ? `takes ${what}` : `refuses ${what}`, () => {
      const object = changed(valid, changes);
      applyDefaults(resource, object);
      expectCauses(validateCreate(resource, object), field, message);
    });
  }
}

/** Asserts that the causes are the one expected, or none. */
export function expectCauses(causes: readonly FieldCause[], field?: string, message: string | RegExp = ''): void {
  const told = causes.map((cause) => `${cause.field}: ${cause.message}`);
  if (field === undefined) return assert.deepEqual(told, []);
  assert.equal(told.length, 1, `one broken rule, but: ${told.join('; ') || 'none'}`);
  assert.equal(causes[0]?.field, field);
  const text = causes[0]?.message ?? '';
  if (typeof message === 'string') assert.ok(text.includes(message), `${text} should say ${message}`);
  else assert.match(text, message);
}

export const short = (value: unknown): string => {
  const text = JSON.stringify(value, (_, each: unknown) => (each === undefined ? 'absent' : each));
  return text.length <= 100 ? text : `${text.slice(0, 100)}… (${text.length})`;
};
