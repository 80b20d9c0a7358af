import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { resourceByName, resources, type Resource } from '../../lib/api/kinds.ts';
import { onFailedRollout } from '../../lib/api/rollouts.ts';
import { kindInfo } from '../kinds.ts';
import { outputs } from '../session.ts';
import { scalable } from '../commands/scale.ts';

/** Names of the objects of a kind, for completing them; empty when the server does not say in time. */
export type NamesOf = (resource: Resource) => Promise<readonly string[]>;

/** Commands whose first word is a kind. */
const aboutObjects = new Set([
  'get',
  'describe',
  'delete',
  'label',
  'annotate',
  'scale',
  'autoscale',
  'quarantine',
  'release',
]);

/**
 * What the last of `words` may become; the words before it are complete. `words` is the command line after `troupe`.
 * Nothing for a file name: the shell knows those better.
 */
export async function candidates(
  program: CommandUnknownOpts,
  words: readonly string[],
  namesOf: NamesOf,
): Promise<string[]> {
  const last = words.at(-1) ?? '';
  const all = await possible(program, words.slice(0, -1), last, namesOf);
  return [...new Set(all)].filter((word) => word.startsWith(last)).sort();
}

async function possible(
  program: CommandUnknownOpts,
  before: readonly string[],
  last: string,
  namesOf: NamesOf,
): Promise<readonly string[]> {
  const { command, positional, expecting } = walk(program, before);
  if (expecting !== undefined) return valuesOf(expecting, namesOf);
  if (last.startsWith('-')) return flagsOf(command ?? program);
  if (command === undefined) return visibleCommands(program);
  switch (command.name()) {
    case 'help':
      return visibleCommands(program);
    case 'proxies':
      return positional.length === 0 ? objectWords(last, ['services'], namesOf, 'services') : [];
    case 'rolling-update':
      return positional.length === 0 ? namesOf('replicationcontrollers') : [];
    case 'completion':
      return ['bash', 'zsh', 'fish'];
    case 'top':
      return positional.length === 0
        ? ['pods', 'nodes']
        : positional.length === 1
          ? namesOf(resourceByName(positional[0] ?? '') ?? 'pods')
          : [];
    case 'logs':
    case 'exec':
    case 'attach':
    case 'debug':
    case 'port-forward':
      return positional.length > 0
        ? []
        : objectWords(last, ['pods', 'replicationcontrollers', 'services'], namesOf, 'pods');
    default:
      return aboutObjects.has(command.name()) ? ofObjects(command.name(), positional, last, namesOf) : [];
  }
}

async function ofObjects(
  command: string,
  positional: readonly string[],
  last: string,
  namesOf: NamesOf,
): Promise<readonly string[]> {
  const offered: readonly Resource[] = command === 'scale' || command === 'autoscale' ? scalable : resources;
  const [first] = positional;
  if (first === undefined || first.includes('/') || last.includes('/'))
    return objectWords(last, offered, namesOf, undefined);
  const resource = resourceByName(first);
  return resource === undefined ? [] : namesOf(resource);
}

/** Kinds, or names after `kind/`; names of `plain` alone too. */
async function objectWords(
  last: string,
  offered: readonly Resource[],
  namesOf: NamesOf,
  plain: Resource | undefined,
): Promise<readonly string[]> {
  const slash = last.indexOf('/');
  if (slash >= 0) {
    const kind = last.slice(0, slash);
    const resource = resourceByName(kind);
    return resource === undefined ? [] : (await namesOf(resource)).map((name) => `${kind}/${name}`);
  }
  if (plain !== undefined)
    return [...(await namesOf(plain)), ...offered.map((resource) => `${kindInfo(resource).singular}/`)];
  return offered;
}

interface Walked {
  readonly command: CommandUnknownOpts | undefined;
  readonly positional: readonly string[];
  /** The option whose value comes next. */
  readonly expecting: string | undefined;
}

function walk(program: CommandUnknownOpts, before: readonly string[]): Walked {
  let command: CommandUnknownOpts | undefined;
  let expecting: string | undefined;
  const positional: string[] = [];
  for (const word of before) {
    if (expecting !== undefined) expecting = undefined;
    else if (word.startsWith('-')) {
      const option = (command ?? program).options.find(({ short, long }) => short === word || long === word);
      if (option?.required === true) expecting = option.long ?? word;
    } else if (command === undefined) command = program.commands.find((known) => known.name() === word);
    else positional.push(word);
  }
  return { command, positional, expecting };
}

async function valuesOf(option: string, namesOf: NamesOf): Promise<readonly string[]> {
  switch (option) {
    case '--namespace':
      return namesOf('namespaces');
    case '--output':
      return outputs;
    case '--cascade':
      return ['orphan', 'background', 'foreground'];
    case '--on-failed':
      return onFailedRollout;
    case '--types':
      return ['Normal', 'Warning'];
    default:
      return [];
  }
}

const flagsOf = (command: CommandUnknownOpts): string[] => [
  ...command.options
    .filter(({ hidden }) => !hidden)
    .flatMap(({ long }) => (long === null || long === undefined ? [] : [long])),
  '--help',
];

const visibleCommands = (program: CommandUnknownOpts): string[] => [
  ...program.commands.map((command) => command.name()).filter((name) => !name.startsWith('_')),
  'help',
];
