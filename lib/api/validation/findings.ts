import type { FieldCause } from '../../base/errors.ts';
import type { Check } from '../names.ts';

export const ipRule = 'must be an IPv4 address, such as 10.9.8.7';

/** More broken rules than this help nobody, and an error must stay small. */
const maxCauses = 64;
/** Of a wrong value, so much is shown. */
const maxShown = 128;

/**
 * The broken rules of one object, collected so that a person can mend a manifest in one go. Messages begin like
 * those of Kubernetes v1 ("Invalid value: …", "Required value"), which people know and tools look for.
 */
export class Findings {
  readonly #causes: FieldCause[] = [];

  get causes(): readonly FieldCause[] {
    return this.#causes;
  }

  required(field: string, detail?: string): void {
    this.#add('FieldValueRequired', field, detail === undefined ? 'Required value' : `Required value: ${detail}`);
  }

  invalid(field: string, value: unknown, rule: string): void {
    this.#add('FieldValueInvalid', field, `Invalid value: ${show(value)}: ${rule}`);
  }

  duplicate(field: string, value: unknown): void {
    this.#add('FieldValueDuplicate', field, `Duplicate value: ${show(value)}`);
  }

  notSupported(field: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((each) => JSON.stringify(each)).join(', ');
    this.#add('FieldValueNotSupported', field, `Unsupported value: ${show(value)}: supported values: ${list}`);
  }

  forbidden(field: string, detail: string): void {
    this.#add('FieldValueForbidden', field, `Forbidden: ${detail}`);
  }

  /** Something that another field should have declared. */
  notFound(field: string, value: unknown, detail: string): void {
    this.#add('FieldValueNotFound', field, `Not found: ${show(value)}: ${detail}`);
  }

  tooLong(field: string, max: number, actual: number, unit = 'bytes'): void {
    this.#add('FieldValueTooLong', field, `Too long: may not be more than ${max} ${unit}, and this has ${actual}`);
  }

  /** Reports the value unless the check passes. */
  check(field: string, value: string, check: Check): void {
    const wrong = check(value);
    if (wrong !== undefined) this.invalid(field, value, wrong);
  }

  /** As `check`, with absence being an error of its own. */
  checkRequired(field: string, value: string, check: Check): void {
    if (value === '') this.required(field);
    else this.check(field, value, check);
  }

  /** Reports a value that is given and is none of those supported. */
  oneOf(field: string, value: unknown, supported: readonly string[]): void {
    if (value === undefined || value === null) this.required(field);
    else if (typeof value !== 'string' || !supported.includes(value)) this.notSupported(field, value, supported);
  }

  /** Reports a number that is given and is not whole or out of bounds. */
  range(field: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): void {
    if (value === undefined || value === null) return;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return;
    const rule =
      max === Number.MAX_SAFE_INTEGER
        ? `must be a whole number greater than or equal to ${min}`
        : `must be between ${min} and ${max}, inclusive`;
    this.invalid(field, value, rule);
  }

  #add(reason: FieldCause['reason'], field: string, message: string): void {
    if (this.#causes.length < maxCauses) this.#causes.push({ field, reason, message });
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}…`;
}

/** Reports the second and later of equal values. */
export class Seen {
  readonly #values = new Set<string>();
  /** Whether this value was there before; from now on it is. */
  again(value: string): boolean {
    if (this.#values.has(value)) return true;
    this.#values.add(value);
    return false;
  }
}
