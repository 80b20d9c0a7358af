import { ApiError } from '../base/errors.ts';
import { labelValue, nameCharacter, qualifiedName } from './names.ts';
import type { Labels, LabelSelector } from './objects.ts';

/**
 * Label selectors (F88 to F90): requirements joined by commas, all of which an object must meet.
 * `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`, `k>1`, `k<1`. The empty selector matches all.
 */
export type Selector = readonly Requirement[];

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'GreaterThan' | 'LessThan';

/** `values` are sorted and each there once; none for Exists and DoesNotExist, one for GreaterThan and LessThan. */
export interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
}

/** The selector of a text. BadRequest says what was found at which position (from 1) and what was expected. */
export function parseSelector(text: string): Selector {
  const scan = new Scanner(text);
  const requirements: Requirement[] = [];
  if (scan.peek().kind === 'end') return requirements;
  for (;;) {
    requirements.push(requirement(scan));
    const next = scan.take();
    if (next.kind === 'end') return requirements;
    if (next.kind !== ',') scan.fail(next, `',' or the end`);
  }
}

/** Whether labels meet every requirement. NotIn is met by an absent key too; the number comparisons only by a whole number. */
export const matches = (selector: Selector, labels: Labels | undefined): boolean =>
  selector.every((requirement) => meets(requirement, valueOf(labels, requirement.key)));

/** The canonical text: it parses back to a selector that matches the same labels. */
export const formatSelector = (selector: Selector): string => selector.map(formatRequirement).join(',');

/** The selector of a plain map, as a ReplicationController or a Service has one: each pair must be there. */
export const selectorOf = (map: Labels): Selector =>
  Object.keys(map)
    .sort()
    .map((key) => ({ key, operator: 'In', values: [map[key] ?? ''] }));

/** A selector with operators, as newer kinds of Kubernetes v1 hold it. */
export const selectorOfLabelSelector = ({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Selector =>
  [
    ...Object.entries(matchLabels).map(([key, value]): Requirement => ({ key, operator: 'In', values: [value] })),
    ...matchExpressions.map(({ key, operator, values = [] }): Requirement => ({
      key,
      operator,
      values: [...new Set(values)].sort(),
    })),
  ].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));

/** Whether labels hold every pair of a plain map selector. An empty map matches all: callers decide what that means. */
export function matchesMap(map: Labels, labels: Labels | undefined): boolean {
  for (const key in map) if (valueOf(labels, key) !== map[key]) return false;
  return true;
}

const valueOf = (labels: Labels | undefined, key: string): string | undefined =>
  labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;

function meets(requirement: Requirement, value: string | undefined): boolean {
  switch (requirement.operator) {
    case 'In':
      return value !== undefined && requirement.values.includes(value);
    case 'NotIn':
      return value === undefined || !requirement.values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'GreaterThan':
      return value !== undefined && wholeNumber.test(value) && BigInt(value) > limitOf(requirement);
    case 'LessThan':
      return value !== undefined && wholeNumber.test(value) && BigInt(value) < limitOf(requirement);
  }
}

const wholeNumber = /^-?[0-9]+$/;
const limitOf = (requirement: Requirement): bigint => BigInt(requirement.values[0] ?? '0');

function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case 'In':
      return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(',')})`;
    case 'NotIn':
      return values.length === 1 ? `${key}!=${values[0]}` : `${key} notin (${values.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
    case 'GreaterThan':
      return `${key}>${values[0]}`;
    case 'LessThan':
      return `${key}<${values[0]}`;
  }
}

function requirement(scan: Scanner): Requirement {
  const first = scan.take();
  if (first.kind === '!') return { key: key(scan, scan.take()), operator: 'DoesNotExist', values: [] };
  const name = key(scan, first);
  const operator = scan.peek();
  switch (operator.kind) {
    case 'end':
    case ',':
      return { key: name, operator: 'Exists', values: [] };
    case '=':
    case '==':
      scan.take();
      return { key: name, operator: 'In', values: [oneValue(scan)] };
    case '!=':
      scan.take();
      return { key: name, operator: 'NotIn', values: [oneValue(scan)] };
    case '>':
    case '<':
      scan.take();
      return { key: name, operator: operator.kind === '>' ? 'GreaterThan' : 'LessThan', values: [number(scan)] };
    case 'word':
      if (operator.text !== 'in' && operator.text !== 'notin') return noOperator(scan, operator);
      scan.take();
      return { key: name, operator: operator.text === 'in' ? 'In' : 'NotIn', values: valueSet(scan) };
    case '!':
    case '(':
    case ')':
      return noOperator(scan, operator);
  }
}

const noOperator = (scan: Scanner, found: Token): never =>
  scan.fail(found, `one of =, ==, !=, in, notin, >, <, ',' or the end`);

function key(scan: Scanner, token: Token): string {
  if (token.kind !== 'word') scan.fail(token, 'a label key');
  const wrong = qualifiedName(token.text);
  if (wrong !== undefined) scan.reject(`label key ${quote(token.text)} at position ${token.at}: ${wrong}`);
  return token.text;
}

/** A value may be left out: `k=` asks for the empty one. */
function oneValue(scan: Scanner): string {
  const next = scan.peek();
  if (next.kind === 'end' || next.kind === ',') return '';
  return value(scan, scan.take());
}

function value(scan: Scanner, token: Token): string {
  if (token.kind !== 'word') scan.fail(token, 'a label value');
  const wrong = labelValue(token.text);
  if (wrong !== undefined) scan.reject(`label value ${quote(token.text)} at position ${token.at}: ${wrong}`);
  return token.text;
}

function number(scan: Scanner): string {
  const token = scan.take();
  if (token.kind !== 'word' || !wholeNumber.test(token.text)) scan.fail(token, 'a whole number');
  return token.text;
}

function valueSet(scan: Scanner): string[] {
  const open = scan.take();
  if (open.kind !== '(') scan.fail(open, `'('`);
  const values = new Set<string>();
  for (;;) {
    const next = scan.peek();
    values.add(next.kind === ',' || next.kind === ')' ? '' : value(scan, scan.take()));
    const after = scan.take();
    if (after.kind === ')') return [...values].sort();
    if (after.kind !== ',') scan.fail(after, `',' or ')'`);
  }
}

const quote = (text: string): string => JSON.stringify(text);

interface Token {
  readonly kind: '=' | '==' | '!=' | '!' | '>' | '<' | '(' | ')' | ',' | 'word' | 'end';
  readonly text: string;
  /** Position of its first character, from 1. */
  readonly at: number;
}

const symbols = ['==', '!=', '=', '!', '>', '<', '(', ')', ','] as const;

/** Cuts a selector into tokens with one token of look-ahead; everything that is no symbol and no white space is a word. */
class Scanner {
  readonly #text: string;
  #at = 0;
  #next: Token | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  peek(): Token {
    return (this.#next ??= this.#scan());
  }

  take(): Token {
    const token = this.peek();
    this.#next = undefined;
    return token;
  }

  fail(found: Token, expected: string): never {
    const what =
      found.kind === 'end' ? 'the end' : found.text.length === 1 ? nameCharacter(found.text) : quote(found.text);
    return this.reject(`found ${what} at position ${found.at}, expected ${expected}`);
  }

  reject(why: string): never {
    throw new ApiError('BadRequest', `unable to parse the label selector ${quote(this.#text)}: ${why}`);
  }

  #scan(): Token {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
    const at = this.#at + 1;
    if (this.#at >= this.#text.length) return { kind: 'end', text: '', at };
    const symbol = symbols.find((candidate) => this.#text.startsWith(candidate, this.#at));
    if (symbol !== undefined) {
      this.#at += symbol.length;
      return { kind: symbol, text: symbol, at };
    }
    const word = /^[^\s=!<>(),]+/.exec(this.#text.slice(this.#at))?.[0] ?? '';
    this.#at += word.length;
    return { kind: 'word', text: word, at };
  }
}
