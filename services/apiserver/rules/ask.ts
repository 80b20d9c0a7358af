import { createContext, Script } from 'node:vm';
import { Optional } from '@marcbachmann/cel-js';
import { isObject, sameJson, type Json } from '../../../lib/api/json.ts';
import type { FieldCause } from '../../../lib/base/errors.ts';
import { Findings } from '../../../lib/api/validation/findings.ts';
import { summaryOf, type Rule, type Ruled } from './compile.ts';
import type { Shape } from './shapes.ts';

/** Rules of one object may take so long together: others wait meanwhile. */
const mostMs = 100;
const mostAttempts = 5;

const context: { run: () => void } = { run: () => undefined };
createContext(context);
const script = new Script('run()');

/** Runs what ends by itself, or after a time: an expression over long lists, or a pattern that goes back and forth, may take years. */
function bounded(work: () => void): boolean {
  context.run = work;
  try {
    script.runInContext(context, { timeout: mostMs });
    return true;
  } catch (error) {
    if ((error as { readonly code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  } finally {
    context.run = () => undefined;
  }
}

/**
 * The rules that an object breaks, which its schema takes otherwise. `before` is what it was, in an update: rules for changes are asked where
 * there was a value, all others where the value is another now; so an object that broke a new rule before can still be changed elsewhere.
 */
export function askRules(ruled: Ruled, object: Json, before: Json | undefined): readonly FieldCause[] {
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const found = new Findings();
    const asking = new Asking(found);
    const usedBefore = process.cpuUsage();
    if (bounded(() => asking.at(ruled, { value: object, before }, ''))) return found.causes;
    const used = process.cpuUsage(usedBefore);
    // On a starved machine time passes without anything being done.
    if ((used.user + used.system) / 1000 >= mostMs / 2) break;
  }
  const found = new Findings();
  found.forbidden('', `the rules of its definition take longer than ${mostMs} ms for an object as large as this`);
  return found.causes;
}

interface Values {
  readonly value: unknown;
  /** Undefined where there was none, or none that is known to be this one. */
  readonly before: unknown;
}

class Asking {
  readonly #found: Findings;

  constructor(found: Findings) {
    this.#found = found;
  }

  at(ruled: Ruled, { value, before }: Values, path: string): void {
    if (value === undefined || value === null) return;
    this.#own(ruled, { value, before }, path);
    if (isObject(value))
      for (const [name, below] of ruled.properties)
        this.at(below, { value: value[name], before: memberOf(before, name) }, path === '' ? name : `${path}.${name}`);
    const { each, keys } = ruled;
    if (each === undefined) return;
    if (Array.isArray(value))
      value.forEach((item, i) => {
        this.at(each, { value: item, before: keys && itemLike(before, item, keys) }, `${path}[${i}]`);
      });
    else if (isObject(value))
      for (const [key, member] of Object.entries(value))
        this.at(each, { value: member, before: memberOf(before, key) }, `${path}[${key}]`);
  }

  #own({ rules, shape }: Ruled, { value, before }: Values, path: string): void {
    const isNew = before === undefined || before === null;
    const isSame = !isNew && sameJson(value, before);
    const asked = rules.filter(({ usesOld, said }) => (usesOld ? !isNew || said.optionalOldSelf === true : !isSame));
    if (asked.length === 0) return;
    const self = shape.read(value);
    const oldSelf = isNew ? undefined : readBefore(shape, before);
    for (const rule of asked) {
      const { optionalOldSelf = false } = rule.said;
      if (rule.usesOld && oldSelf === undefined && !optionalOldSelf) continue;
      const old = optionalOldSelf ? (oldSelf === undefined ? Optional.none() : Optional.of(oldSelf)) : oldSelf;
      this.#ask(rule, { self, ...(old !== undefined && { oldSelf: old }) }, { value, path });
    }
  }

  #ask(rule: Rule, variables: object, { value, path }: { readonly value: unknown; readonly path: string }): void {
    let words: string;
    try {
      if (rule.holds(variables) === true) return;
      words = wordsOf(rule, variables);
    } catch (error) {
      words = `rule evaluation error: ${summaryOf(error)}: ${rule.said.rule}`;
    }
    const field = `${path}${rule.said.fieldPath ?? ''}`.replace(/^\./, '');
    const shown = isObject(value) ? 'object' : Array.isArray(value) ? 'array' : value;
    const { reason = 'FieldValueInvalid' } = rule.said;
    if (reason === 'FieldValueRequired') this.#found.required(field, words);
    else if (reason === 'FieldValueForbidden') this.#found.forbidden(field, words);
    else if (reason === 'FieldValueDuplicate') this.#found.duplicate(field, words);
    else this.#found.invalid(field, shown, words);
  }
}

/** What was stored by an older schema may not fit this one: then nothing is known of it. */
function readBefore(shape: Shape, before: unknown): unknown {
  try {
    return shape.read(before);
  } catch {
    return undefined;
  }
}

/** What the definition says of it: computed where it can be, else in its own words, else the rule itself. */
function wordsOf({ said, words }: Rule, variables: object): string {
  const plain = said.message === undefined || said.message === '' ? `failed rule: ${said.rule.trim()}` : said.message;
  if (words === undefined) return plain;
  try {
    const text: unknown = words(variables);
    return typeof text === 'string' && text.trim() !== '' && !text.includes('\n') ? text : plain;
  } catch {
    return plain;
  }
}

const memberOf = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined);

/** The item of a list that has the same keys. */
function itemLike(list: unknown, item: unknown, keys: readonly string[]): unknown {
  if (!Array.isArray(list)) return undefined;
  return list.find((each) => keys.every((key) => sameJson(memberOf(each, key), memberOf(item, key))));
}
