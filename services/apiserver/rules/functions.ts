import { Environment } from '@marcbachmann/cel-js';
import { compareQuantities, isQuantity, nanos } from '../../../lib/api/quantity.ts';
import { regexOf } from '../../../lib/api/custom/pattern.ts';

/** A quantity such as `1.5Gi`, as rules compute with it. */
class RuleQuantity {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
class RuleUrl {
  readonly url: URL;
  constructor(url: URL) {
    this.url = url;
  }
}

type Comparable = bigint | number | string | boolean | Date;
const order = (a: Comparable, b: Comparable): number => (a < b ? -1 : a > b ? 1 : 0);
const isSorted = (list: readonly Comparable[]): boolean =>
  list.every((each, i) => i === 0 || order(list[i - 1] ?? each, each) <= 0);
const numbers = (list: readonly unknown[]): readonly (bigint | number)[] => {
  if (list.every((each) => typeof each === 'bigint' || typeof each === 'number')) return list;
  throw new Error('sum() is for lists of numbers');
};
/** A list holds numbers of one type. */
const sum = (list: readonly (bigint | number)[]): bigint | number =>
  typeof list[0] === 'number'
    ? list.reduce<number>((all, each) => all + Number(each), 0)
    : list.reduce<bigint>((all, each) => all + BigInt(each), 0n);
function extreme(list: readonly Comparable[], sign: 1 | -1): Comparable {
  const [first, ...rest] = list;
  if (first === undefined) throw new Error(`${sign === 1 ? 'max' : 'min'}() of an empty list`);
  return rest.reduce((best, each) => (order(each, best) * sign > 0 ? each : best), first);
}

function quantity(text: string): RuleQuantity {
  if (!isQuantity(text)) throw new Error(`quantity(${JSON.stringify(text)}): not a quantity`);
  return new RuleQuantity(text);
}
function url(text: string): RuleUrl {
  const found = urlOf(text);
  if (found === undefined) throw new Error(`url(${JSON.stringify(text)}): not a URL`);
  return new RuleUrl(found);
}
const urlOf = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined);
function expression(pattern: string): RegExp {
  const found = regexOf(pattern);
  if (found === undefined) throw new Error(`${JSON.stringify(pattern)} is no regular expression`);
  return found;
}
const all = (text: string, pattern: string, limit = -1n): string[] => {
  const { source, flags } = expression(pattern);
  const found = Array.from(text.matchAll(new RegExp(source, `${flags}g`)), ([match]) => match);
  return limit < 0n ? found : found.slice(0, Number(limit));
};
const replaced = (text: string, from: string, to: string, limit = -1n): string => {
  if (limit < 0n) return text.replaceAll(from, () => to);
  let left = Number(limit);
  return text.replaceAll(from, () => (left-- > 0 ? to : from));
};
const nanosOf = ({ text }: RuleQuantity): bigint => nanos(text);
const whole = 1_000_000_000n;

/**
 * The language of rules: what the library has, and of what Kubernetes adds the lists, `find`, `replace`, quantities and URLs. Whoever names
 * another function is told so when the definition is written. Small limits of syntax: rules are sentences, not programs.
 */
export const ruleLanguage = (): Environment => {
  const language = new Environment({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 2_000, maxDepth: 64, maxListElements: 500, maxMapEntries: 500, maxCallArguments: 16 },
  });
  language.registerType('kubernetes.Quantity', { ctor: RuleQuantity, fields: {} });
  language.registerType('kubernetes.URL', { ctor: RuleUrl, fields: {} });
  const more: Readonly<Record<string, (...args: never[]) => unknown>> = {
    'list.isSorted(): bool': isSorted,
    'list.sum(): dyn': (list: readonly unknown[]) => sum(numbers(list)),
    'list.min(): dyn': (list: readonly Comparable[]) => extreme(list, -1),
    'list.max(): dyn': (list: readonly Comparable[]) => extreme(list, 1),
    'string.charAt(int): string': (text: string, at: bigint) => text.charAt(Number(at)),
    'string.find(string): string': (text: string, pattern: string) => expression(pattern).exec(text)?.[0] ?? '',
    'string.findAll(string): list<string>': all,
    'string.findAll(string, int): list<string>': all,
    'string.replace(string, string): string': replaced,
    'string.replace(string, string, int): string': replaced,
    'isQuantity(string): bool': isQuantity,
    'quantity(string): kubernetes.Quantity': quantity,
    'kubernetes.Quantity.isGreaterThan(kubernetes.Quantity): bool': (a: RuleQuantity, b: RuleQuantity) =>
      compareQuantities(a.text, b.text) > 0,
    'kubernetes.Quantity.isLessThan(kubernetes.Quantity): bool': (a: RuleQuantity, b: RuleQuantity) =>
      compareQuantities(a.text, b.text) < 0,
    'kubernetes.Quantity.compareTo(kubernetes.Quantity): int': (a: RuleQuantity, b: RuleQuantity) =>
      BigInt(Math.sign(compareQuantities(a.text, b.text))),
    'kubernetes.Quantity.sign(): int': (a: RuleQuantity) => BigInt(Math.sign(compareQuantities(a.text, '0'))),
    'kubernetes.Quantity.isInteger(): bool': (a: RuleQuantity) => nanosOf(a) % whole === 0n,
    'kubernetes.Quantity.asInteger(): int': (a: RuleQuantity) => {
      if (nanosOf(a) % whole !== 0n) throw new Error(`quantity ${a.text} is not whole`);
      return nanosOf(a) / whole;
    },
    'kubernetes.Quantity.asApproximateFloat(): double': (a: RuleQuantity) => Number(nanosOf(a)) / Number(whole),
    'isURL(string): bool': (text: string) => urlOf(text) !== undefined,
    'url(string): kubernetes.URL': url,
    'kubernetes.URL.getScheme(): string': (a: RuleUrl) => a.url.protocol.replace(/:$/, ''),
    'kubernetes.URL.getHost(): string': (a: RuleUrl) => a.url.host,
    'kubernetes.URL.getHostname(): string': (a: RuleUrl) => a.url.hostname,
    'kubernetes.URL.getPort(): string': (a: RuleUrl) => a.url.port,
    'kubernetes.URL.getEscapedPath(): string': (a: RuleUrl) => a.url.pathname,
  };
  for (const [signature, handler] of Object.entries(more))
    language.registerFunction(signature, handler as (...args: unknown[]) => unknown);
  language.registerOperator(
    'kubernetes.Quantity == kubernetes.Quantity',
    (a: RuleQuantity, b: RuleQuantity) => compareQuantities(a.text, b.text) === 0,
  );
  return language;
};
