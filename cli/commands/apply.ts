import type { Command } from '@commander-js/extra-typings';
import { ApiError } from '../../lib/base/errors.ts';
import type { Json } from '../../lib/api/json.ts';
import { kindInfo } from '../kinds.ts';
import type { Applied, ApplyOptions, DryRun } from '../apply/apply.ts';
import type { ManifestObject } from '../manifest.ts';
import { withSession, type Session } from '../session.ts';
import { AlreadyReported, UsageError, type Shell } from '../shell.ts';
import { nameOf } from '../targets.ts';

interface Options {
  readonly filename: string[];
  readonly recursive?: true;
  readonly strict?: true;
  readonly dryRun?: string | true;
}

export function register(program: Command, shell: Shell): void {
  program
    .command('apply')
    .description('create or change objects so that they are as manifests declare them')
    .requiredOption('-f, --filename <path...>', 'manifest, folder of manifests, or - for standard input')
    .option('-R, --recursive', 'with a folder: the folders in it too')
    .option('--strict', 'refuse fields that the API does not know, instead of warning of them')
    .option(
      '--dry-run [mode]',
      'change nothing: "server" (default) has the server check all of it, "client" only compares',
    )
    .action((options, command) => withSession(shell, command, (session) => apply(session, options)));
}

/** How many objects are on their way at once. */
const width = 16;

async function apply(session: Session, options: Options): Promise<void> {
  const output = session.outputOf('name', 'yaml', 'json');
  const dryRun = dryRunOf(options.dryRun);
  const { readManifests, readSources } = await import('../manifest.ts');
  const { inOrder } = await import('../apply/apply.ts');
  const sources = await readSources(options.filename, options.recursive === true, session.shell);
  const items = await readManifests(session, sources);
  checkNamespaces(items, session);

  const done: Json[] = [];
  let failed = 0;
  for (const group of inOrder(items)) {
    for (let from = 0; from < group.length; from += width) {
      const batch = group.slice(from, from + width);
      const results = await Promise.allSettled(
        batch.map((item) => applyOne(session, item, dryRun, options.strict === true)),
      );
      results.forEach((result, index) => {
        const item = batch[index];
        if (item === undefined) return;
        if (result.status === 'rejected') {
          // Without the server the next object fails in the same way: one report is enough.
          if (result.reason instanceof ApiError && result.reason.reason === 'ServiceUnavailable') throw result.reason;
          failed++;
          session.report(result.reason, `apply ${nameOf(item.resource, item.name)} (${item.place})`, item.locate);
        } else if (output === 'yaml' || output === 'json') done.push(result.value.object);
        else session.print(line(session, item, result.value, dryRun));
      });
      session.signal.throwIfAborted();
    }
  }
  if (output === 'yaml' || output === 'json') {
    const { objectsText } = await import('../objects-text.ts');
    session.shell.stdout.write(objectsText(done, output, items.length === 1));
  }
  if (failed === 0) return;
  if (items.length > 1) session.note(`${failed} of ${items.length} objects could not be applied`);
  throw new AlreadyReported();
}

async function applyOne(
  session: Session,
  item: ManifestObject,
  dryRun: DryRun | undefined,
  strict: boolean,
): Promise<Applied> {
  const { applyObject } = await import('../apply/apply.ts');
  const options: ApplyOptions = {
    namespace: session.globals.namespace,
    dryRun,
    write: {
      ...session.call,
      dryRun: dryRun === 'server',
      fieldValidation: strict ? 'Strict' : 'Warn',
      onWarning: (message) => {
        session.warn(`${item.place}: ${nameOf(item.resource, item.name)}: ${message}`);
      },
    },
  };
  return applyObject(await session.client(), item, options);
}

function line(session: Session, item: ManifestObject, applied: Applied, dryRun: DryRun | undefined): string {
  const name = nameOf(item.resource, item.name);
  if (session.globals.output === 'name') return name;
  const { colors } = session;
  const result = applied.result === 'unchanged' ? colors.dim('unchanged') : colors.green(applied.result);
  return `${name} ${result}${dryRun === undefined ? '' : ' (dry run)'}`;
}

/** A manifest that names its namespace and a `-n` that names another: one of the two is a mistake. */
function checkNamespaces(items: readonly ManifestObject[], { globals }: Session): void {
  if (!globals.namespaceGiven) return;
  for (const { resource, name, namespace, place } of items) {
    if (!kindInfo(resource).namespaced || namespace === undefined || namespace === globals.namespace) continue;
    throw new UsageError(
      `${place}: ${nameOf(resource, name)} says namespace "${namespace}", but -n says "${globals.namespace}"; leave one of them out`,
    );
  }
}

function dryRunOf(value: string | true | undefined): DryRun | undefined {
  if (value === undefined || value === 'none') return undefined;
  if (value === true || value === 'server') return 'server';
  if (value === 'client') return 'client';
  throw new UsageError(`--dry-run ${value}: must be server, client or none`);
}
