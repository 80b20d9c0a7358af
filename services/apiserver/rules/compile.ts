import type { ASTNode, Environment, ParseResult } from '@marcbachmann/cel-js';
import { isObject } from '../../../lib/api/json.ts';
import type { CustomSchema, SchemaRule } from '../../../lib/api/objects.ts';
import { Findings } from '../../../lib/api/validation/findings.ts';
import { ruleLanguage } from './functions.ts';
import { Shapes, type Shape } from './shapes.ts';

/** A rule, ready to be asked. */
export interface Rule {
  readonly said: SchemaRule;
  readonly holds: ParseResult;
  readonly words: ParseResult | undefined;
  /** It looks at the value before: a rule for changes. */
  readonly usesOld: boolean;
}

/** A place in the schema with rules, or with such places below it. */
export interface Ruled {
  readonly rules: readonly Rule[];
  readonly shape: Shape;
  readonly properties: ReadonlyMap<string, Ruled>;
  /** Of a list, or of a map with free keys. */
  readonly each: Ruled | undefined;
  /** By these fields an item of a list is the one that it was before; undefined: none is. */
  readonly keys: readonly string[] | undefined;
}

/** What people write takes less; what a machine makes may not keep the others waiting. */
const mostRules = 500;
const longestRule = 8_192;

const reasons = ['FieldValueInvalid', 'FieldValueForbidden', 'FieldValueRequired', 'FieldValueDuplicate'];

/** Where a schema is looked at. */
interface Place {
  /** The field of the definition. */
  readonly at: string;
  readonly isRoot?: boolean;
  /** Whether the value before is known here: not in lists whose items have no keys. */
  readonly hasBefore: boolean;
}

/**
 * The rules of a schema (`x-kubernetes-validations`), ready to be asked, and what is wrong with them; `at` is the field of the definition in
 * which the schema stands. Undefined where it has none.
 */
export function compileRules(schema: CustomSchema, at: string, found = new Findings()): Ruled | undefined {
  if (!hasRules(schema)) return undefined;
  const language = ruleLanguage();
  const shapes = new Shapes(language);
  const pending: (() => void)[] = [];
  const ruled = new Compiler(language, shapes, found, pending).ruled(schema, { at, isRoot: true, hasBefore: true });
  // All types must be known before the first rule.
  for (const compile of pending) compile();
  return ruled;
}

/** Whether a schema has rules anywhere. */
export function hasRules(schema: unknown): boolean {
  if (!isObject(schema)) return false;
  const rules = schema['x-kubernetes-validations'];
  if (Array.isArray(rules) && rules.length > 0) return true;
  const { properties, items, additionalProperties } = schema;
  if (isObject(properties) && Object.values(properties).some(hasRules)) return true;
  return hasRules(items) || hasRules(additionalProperties);
}

class Compiler {
  readonly #language: Environment;
  readonly #shapes: Shapes;
  readonly #found: Findings;
  readonly #pending: (() => void)[];
  #count = 0;

  constructor(language: Environment, shapes: Shapes, found: Findings, pending: (() => void)[]) {
    this.#language = language;
    this.#shapes = shapes;
    this.#found = found;
    this.#pending = pending;
  }

  ruled(schema: CustomSchema, { at, isRoot = false, hasBefore }: Place): Ruled | undefined {
    if (!hasRules(schema)) return undefined;
    const { properties = {}, items, additionalProperties } = schema;
    const own = schema['x-kubernetes-validations'] ?? [];
    const shape = this.#shapes.of(own.length > 0 ? schema : {}, isRoot);
    const rules: Rule[] = [];
    this.#pending.push(() => {
      own.forEach((rule, i) => {
        const compiled = this.#rule(rule, shape, { at: `${at}.x-kubernetes-validations[${i}]`, hasBefore });
        if (compiled !== undefined) rules.push(compiled);
      });
    });
    const keys = schema['x-kubernetes-list-type'] === 'map' ? schema['x-kubernetes-list-map-keys'] : undefined;
    const inside =
      items === undefined
        ? isObject(additionalProperties)
          ? this.ruled(additionalProperties, { at: `${at}.additionalProperties`, hasBefore })
          : undefined
        : this.ruled(items, { at: `${at}.items`, hasBefore: hasBefore && keys !== undefined });
    const named = Object.entries(properties).flatMap(([name, member]) => {
      const below = this.ruled(member, { at: `${at}.properties[${name}]`, hasBefore });
      return below === undefined ? [] : [[name, below] as const];
    });
    return { rules, shape, properties: new Map(named), each: inside, keys };
  }

  #rule(said: SchemaRule, { type }: Shape, { at, hasBefore }: Place): Rule | undefined {
    const { rule, messageExpression, optionalOldSelf = false, reason, fieldPath = '' } = said;
    if (++this.#count > mostRules) {
      if (this.#count === mostRules + 1)
        this.#found.forbidden(at, `a definition may have no more than ${mostRules} rules`);
      return undefined;
    }
    if (reason !== undefined) this.#found.oneOf(`${at}.reason`, reason, reasons);
    if (fieldPath !== '' && !/^(\.[\w-]+|\['[^']+'\])+$/.test(fieldPath))
      this.#found.invalid(`${at}.fieldPath`, fieldPath, "must be a path to a field below, such as .limits['cpu']");
    const language = this.#language
      .clone()
      .registerVariable('self', type)
      .registerVariable('oldSelf', optionalOldSelf ? `optional<${type}>` : type);
    const holds = this.#compiled(language, rule, 'bool', `${at}.rule`);
    const words =
      messageExpression === undefined || messageExpression === ''
        ? undefined
        : this.#compiled(language, messageExpression, 'string', `${at}.messageExpression`);
    if (holds === undefined) return undefined;
    const usesOld = names(holds.ast, 'oldSelf');
    if (usesOld && !hasBefore) {
      const why = 'oldSelf is not known in lists without x-kubernetes-list-type: map, whose items have no keys';
      this.#found.invalid(`${at}.rule`, rule, why);
    } else if (optionalOldSelf && !usesOld)
      this.#found.invalid(`${at}.optionalOldSelf`, true, 'may not be set if oldSelf is not used in rule');
    return { said, holds, words, usesOld };
  }

  #compiled(language: Environment, text: string, wanted: string, field: string): ParseResult | undefined {
    if (typeof text !== 'string' || text.trim() === '') {
      this.#found.required(field, 'rule is not specified');
      return undefined;
    }
    if (text.length > longestRule) {
      this.#found.tooLong(field, longestRule, text.length, 'characters');
      return undefined;
    }
    try {
      const parsed = language.parse(text);
      const { valid, type, error } = parsed.check();
      if (!valid) throw error ?? new Error('unknown');
      if (type === wanted || type === 'dyn') return parsed;
      this.#found.invalid(field, text, `must evaluate to a ${wanted}, and this does to ${type ?? 'nothing'}`);
    } catch (error) {
      this.#found.invalid(field, text, `compilation failed: ${summaryOf(error)}`);
    }
    return undefined;
  }
}

/** An error of the language in one line, without the picture of where it is. */
export function summaryOf(error: unknown): string {
  const { summary, message } = error as { readonly summary?: string; readonly message?: string };
  return (summary ?? message ?? String(error)).split('\n', 1)[0] ?? '';
}

/** Whether an expression names a variable. */
function names(node: unknown, variable: string): boolean {
  if (Array.isArray(node)) return node.some((each) => names(each, variable));
  if (typeof node !== 'object' || node === null || !('op' in node)) return false;
  const { op, args } = node as ASTNode;
  return op === 'id' ? args === variable : op !== 'value' && names(args, variable);
}
