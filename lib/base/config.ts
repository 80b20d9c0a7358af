/**
 * Configuration of a process: one table, each row a flag, an environment variable, a default and a sentence.
 * The flag wins over the variable, the variable over the default. Parsed once into a readonly object.
 */
export interface Option {
  readonly flag: `--${string}`;
  readonly env: string;
  /** The value when nothing is given. Its type (text, number, boolean) is the option's type unless `parse` says otherwise. */
  readonly default: unknown;
  readonly help: string;
  /** Shown in the help, such as `ms` or `address`. */
  readonly unit?: string;
  /** Turns text into the value; throws an Error with a sentence when it cannot. */
  readonly parse?: (text: string) => unknown;
}
export type ConfigTable = Readonly<Record<string, Option>>;

type Widen<T> = T extends string ? string : T extends number ? number : T extends boolean ? boolean : T;
type ValueOf<O extends Option> = O extends { readonly parse: (text: string) => infer V }
  ? V | (O['default'] extends V ? never : O['default'])
  : Widen<O['default']>;
export type Config<T extends ConfigTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

/** What was asked for cannot be done; the message says which option, which value and which rule. */
export class ConfigError extends Error {}
/** `--help` was asked for; the message is the text to print. */
export class HelpRequested extends Error {}

/** Reads the options. Throws ConfigError on an unknown flag or a bad value, HelpRequested on `--help`. */
export function parseConfig<T extends ConfigTable>(
  name: string,
  table: T,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Config<T> {
  const given = readFlags(name, table, argv);
  const values: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(table)) {
    const fromEnv = env[option.env];
    const text = given.get(key) ?? (fromEnv === '' ? undefined : fromEnv);
    const where = given.has(key) ? option.flag : option.env;
    values[key] = text === undefined ? option.default : valueOf(option, text, where);
  }
  return Object.freeze(values) as Config<T>;
}

function readFlags(name: string, table: ConfigTable, argv: readonly string[]): Map<string, string> {
  const byFlag = new Map(Object.entries(table).map(([key, option]) => [option.flag as string, { key, option }]));
  const given = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--help' || word === '-h') throw new HelpRequested(helpText(name, table));
    const equals = word.indexOf('=');
    const flag = equals < 0 ? word : word.slice(0, equals);
    const found = byFlag.get(flag) ?? byFlag.get(flag.replace(/^--no-/, '--'));
    if (found === undefined) throw new ConfigError(`unknown option "${word}"; ${name} --help lists the options`);
    const isSwitch = typeof found.option.default === 'boolean';
    if (equals >= 0) given.set(found.key, word.slice(equals + 1));
    else if (isSwitch) given.set(found.key, String(flag === found.option.flag));
    else {
      const next = argv[++i];
      if (next === undefined) throw new ConfigError(`${flag} wants a value: ${found.option.help}`);
      given.set(found.key, next);
    }
  }
  return given;
}

function valueOf(option: Option, text: string, where: string): unknown {
  try {
    if (option.parse !== undefined) return option.parse(text);
    if (typeof option.default === 'number') return numberOf(text);
    if (typeof option.default === 'boolean') return booleanOf(text);
    return text;
  } catch (error) {
    throw new ConfigError(`${where}: "${text}" is not valid: ${(error as Error).message} (${option.help})`, {
      cause: error,
    });
  }
}

function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new Error('must be a number');
  return value;
}

function booleanOf(text: string): boolean {
  if (['true', '1', 'yes', 'on'].includes(text)) return true;
  if (['false', '0', 'no', 'off'].includes(text)) return false;
  throw new Error('must be true or false');
}

/** For comma-separated options. */
export const listOf = (text: string): readonly string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** One of a few words. */
export const oneOf =
  <W extends string>(...words: readonly W[]) =>
  (text: string): W => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw new Error(`must be one of ${words.join(', ')}`);
    return word;
  };

export function helpText(name: string, table: ConfigTable): string {
  const rows = Object.values(table).map((option) => {
    const unit = option.unit === undefined ? '' : ` <${option.unit}>`;
    const fallback = option.default === undefined || option.default === '' ? '' : ` [${showDefault(option.default)}]`;
    return [`${option.flag}${unit}`, option.env, `${option.help}${fallback}`] as const;
  });
  const width = (column: 0 | 1): number => Math.max(0, ...rows.map((row) => row[column].length));
  const lines = rows.map((row) => `  ${row[0].padEnd(width(0))}  ${row[1].padEnd(width(1))}  ${row[2]}`);
  return [
    `Usage: ${name} [options]`,
    '',
    'Options (flag, environment variable, meaning [default]):',
    ...lines,
    '',
  ].join('\n');
}

const showDefault = (value: unknown): string => (Array.isArray(value) ? value.join(',') : String(value));
