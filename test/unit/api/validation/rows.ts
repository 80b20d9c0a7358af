import assert from 'node:assert/strict';
import type { FieldCause } from '../../../../lib/base/errors.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { Json } from '../../../../lib/api/json.ts';
import type { BuiltIn } from '../../../../lib/api/kinds.ts';
import {
  validateCreate,
  type validateStatusUpdate,
  type validateUpdate,
} from '../../../../lib/api/validation/index.ts';
import { changed } from '../../../support/changed.ts';

/** A change to a valid object, and what is wrong with it then: the field, and a part of the message. */
export type Row = readonly [changes: Json, field?: string, message?: string | RegExp];

/** One `it` a row: the object with the change, defaulted as the server would, breaks exactly that rule, or none. */
export function rows(resource: BuiltIn, valid: object, list: readonly Row[]): void {
  for (const [changes, field, message] of list) {
    const what = short(changes);
    it(field === undefined ? `takes ${what}` : `refuses ${what}`, () => {
      const object = changed(valid, changes);
      applyDefaults(resource, object);
      expectCauses(validateCreate(resource, object), field, message);
    });
  }
}

/** What a valid object becomes, what it was, and what is wrong with the step: the field, and a part of the message. */
export type Change = readonly [next: Json, previous: Json, field?: string, message?: string | RegExp];

/** One `it` a step from one state of a valid object to another. */
export function changes(
  check: typeof validateUpdate | typeof validateStatusUpdate,
  resource: BuiltIn,
  valid: object,
  list: readonly Change[],
): void {
  for (const [next, previous, field, message] of list)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () => {
      expectCauses(check(resource, changed(valid, next), changed(valid, previous)), field, message);
    });
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
