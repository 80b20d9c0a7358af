import type { Command } from '@commander-js/extra-typings';
import { ApiError, hasReason } from '../lib/base/errors.ts';
import { keyOf } from '../lib/api/keys.ts';
import type { Objects, Resource } from '../lib/api/kinds.ts';
import { checkSelection, read, type Selecting } from './select.ts';
import { withSession, type Session } from './session.ts';
import { AlreadyReported, UsageError, type Shell } from './shell.ts';
import { nameOf, readTargets } from './targets.ts';

/** What `label` and `annotate` have in common: all but the field and the words. */
export interface MetadataField {
  readonly field: 'labels' | 'annotations';
  readonly command: 'label' | 'annotate';
  /** `labeled` */
  readonly done: string;
}

/** What to do to one object: a text sets a key, null takes it away. */
export type Edits = Readonly<Record<string, string | null>>;

interface Options extends Selecting {
  readonly overwrite?: true;
  readonly all?: true;
}

export function registerMetadata(program: Command, shell: Shell, which: MetadataField): void {
  program
    .command(which.command)
    .description(`set ${which.field} (key=value) or take them away (key-)`)
    .argument('<what...>', `kind and names, or kind/name pairs; then key=value or key- for each of the ${which.field}`)
    .option('--overwrite', 'a key that has another value already gets the new one')
    .option('-l, --selector <selector>', 'the objects with these labels')
    .option('--field-selector <selector>', 'the objects with these fields')
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('--all', 'all objects of the kind')
    .action((what, options, command) => withSession(shell, command, (session) => edit(session, what, options, which)));
}

const attempts = 5;

async function edit(session: Session, what: readonly string[], options: Options, which: MetadataField): Promise<void> {
  const output = session.outputOf('name', 'yaml', 'json');
  const { targetWords, edits } = parseEdits(what, which);
  const targets = await readTargets(session, targetWords);
  checkSelection(targets, options);
  const chosen = options.selector !== undefined || options.fieldSelector !== undefined || options.all === true;
  if (!chosen && targets.some((target) => target.names === undefined)) {
    throw new UsageError('say which: names, a selector (-l), or --all');
  }
  let failed = 0;
  const changed: Objects[Resource][] = [];
  for (const target of targets) {
    const { items } = await read(session, target, options, (error) => {
      failed++;
      session.report(error);
    });
    if (items.length === 0 && target.names === undefined) session.note(`no ${target.resource} match`);
    for (const item of items) {
      const name = nameOf(target.resource, item.metadata.name);
      try {
        const result = await editOne(session, target.resource, item, {
          edits,
          which,
          overwrite: options.overwrite === true,
        });
        if (output === 'yaml' || output === 'json') changed.push(result ?? item);
        else if (output === 'name') session.print(name);
        else session.print(`${name} ${result === undefined ? `not ${which.done}: nothing to change` : which.done}`);
      } catch (error) {
        failed++;
        session.report(error, `${which.command} ${name}`);
      }
    }
  }
  if (output === 'yaml' || output === 'json') {
    const { objectsText } = await import('./objects-text.ts');
    session.shell.stdout.write(objectsText(changed as never[], output, changed.length === 1));
  }
  if (failed > 0) throw new AlreadyReported();
}

/** Resolves to undefined when the object is as wanted already. */
async function editOne<R extends Resource>(
  session: Session,
  resource: R,
  found: Objects[R],
  options: { readonly edits: Edits; readonly which: MetadataField; readonly overwrite: boolean },
): Promise<Objects[R] | undefined> {
  const { field } = options.which;
  const client = await session.client();
  let item = found;
  for (let attempt = 1; ; attempt++) {
    const change = changeOf(item.metadata[field] ?? {}, options.edits, options.overwrite, field);
    if (change === undefined) return undefined;
    const { resourceVersion } = item.metadata;
    // Without --overwrite nothing may have changed between our look and our write.
    const metadata = options.overwrite ? { [field]: change } : { [field]: change, resourceVersion };
    try {
      return await client.patch(resource, keyOf(item), { metadata }, session.call);
    } catch (error) {
      const again = hasReason(error, 'Conflict') && attempt < attempts;
      const current = again ? await client.get(resource, keyOf(item), session.call) : undefined;
      if (current === undefined) throw error;
      item = current;
    }
  }
}

/**
 * The part of the edits that changes something, or undefined. Throws Conflict when a key has another value already and
 * `overwrite` is not set.
 */
export function changeOf(
  present: Readonly<Record<string, string>>,
  edits: Edits,
  overwrite: boolean,
  field: MetadataField['field'],
): Edits | undefined {
  const change = Object.entries(edits).filter(([key, value]) => (present[key] ?? null) !== value);
  for (const [key, value] of change) {
    const had = present[key];
    if (had !== undefined && value !== null && !overwrite) {
      throw new ApiError(
        'Conflict',
        `${field}: "${key}" has the value "${had}" already; --overwrite sets it to "${value}"`,
      );
    }
  }
  return change.length === 0 ? undefined : Object.fromEntries(change);
}

/** Takes `pods web-1 stage=test owner-` apart: what comes before the first edit names the objects. */
export function parseEdits(
  words: readonly string[],
  { command, field }: MetadataField,
): { readonly targetWords: readonly string[]; readonly edits: Edits } {
  const isEdit = (word: string): boolean => word.includes('=') || /.-$/.test(word);
  const first = words.findIndex(isEdit);
  if (first < 0) throw new UsageError(`nothing to ${command}: give ${field} as key=value, or key- to take one away`);
  const edits: Record<string, string | null> = {};
  for (const word of words.slice(first)) {
    if (!isEdit(word)) throw new UsageError(`"${word}": after the first of the ${field} come only key=value and key-`);
    const equals = word.indexOf('=');
    const key = equals < 0 ? word.slice(0, -1) : word.slice(0, equals);
    if (key === '') throw new UsageError(`"${word}": the key is missing before "="`);
    if (Object.hasOwn(edits, key)) throw new UsageError(`"${key}" is given twice`);
    edits[key] = equals < 0 ? null : word.slice(equals + 1);
  }
  return { targetWords: words.slice(0, first), edits };
}
