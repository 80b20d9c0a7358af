import { Command, CommanderError } from '@commander-js/extra-typings';
import pc from 'picocolors';
import { messageOf } from '../lib/base/errors.ts';
import * as annotate from './commands/annotate.ts';
import * as apply from './commands/apply.ts';
import * as attach from './commands/attach.ts';
import * as autoscale from './commands/autoscale.ts';
import * as completion from './commands/completion.ts';
import * as copy from './commands/cp.ts';
import * as debug from './commands/debug.ts';
import * as remove from './commands/delete.ts';
import * as describe from './commands/describe.ts';
import * as drain from './commands/drain.ts';
import * as events from './commands/events.ts';
import * as exec from './commands/exec.ts';
import * as get from './commands/get.ts';
import * as label from './commands/label.ts';
import * as logs from './commands/logs.ts';
import * as portForward from './commands/port-forward.ts';
import * as proxies from './commands/proxies.ts';
import * as quarantine from './commands/quarantine.ts';
import * as rollingUpdate from './commands/rolling-update.ts';
import * as scale from './commands/scale.ts';
import * as top from './commands/top.ts';
import * as version from './commands/version.ts';
import { renderReport } from './report.ts';
import { declareGlobals } from './session.ts';
import { AlreadyReported, ExitWith, UsageError, type Shell } from './shell.ts';

/** A command file: puts its command into the program. */
export interface CommandFile {
  register(program: Command, shell: Shell): void;
}

/** In the order of the help. */
const commands: readonly CommandFile[] = [
  apply,
  get,
  describe,
  events,
  logs,
  exec,
  attach,
  debug,
  portForward,
  copy,
  top,
  proxies,
  scale,
  autoscale,
  rollingUpdate,
  drain,
  quarantine,
  label,
  annotate,
  remove,
  version,
  completion,
];

export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

export function newProgram(shell: Shell, more: readonly CommandFile[] = []): Command {
  const program = new Command('troupe')
    .description('Runs containers on many machines and keeps them as declared.')
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => {
        shell.stdout.write(text);
      },
      writeErr: (text) => {
        shell.stderr.write(text);
      },
      getOutHasColors: () => shell.stdout.isTerminal,
      getErrHasColors: () => shell.stderr.isTerminal,
      // Thrown to `runTroupe`, which prints every error in one form.
      outputError: () => undefined,
    })
    .helpCommand('help [command]', 'show the help of a command');
  declareGlobals(program.enablePositionalOptions());
  for (const file of [...more, ...commands]) file.register(program, shell);
  for (const command of program.commands.slice(more.length)) declareGlobals(command);
  return program;
}

/** Runs one command line and resolves to the exit code; everything there is to say has been written. Never rejects. */
export async function runTroupe(
  argv: readonly string[],
  shell: Shell,
  more: readonly CommandFile[] = [],
): Promise<number> {
  const program = newProgram(shell, more);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    return exitCodeOf(error, shell);
  }
}

function exitCodeOf(error: unknown, shell: Shell): number {
  if (error instanceof ExitWith) return error.code;
  if (error instanceof AlreadyReported) return exitCodes.failure;
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
  // `troupe` alone: the help has been written to standard error.
  if (error instanceof CommanderError && error.code === 'commander.help') return exitCodes.usage;
  if (shell.signal.aborted) return exitCodes.interrupted;
  const usage = error instanceof CommanderError || error instanceof UsageError;
  const what = messageOf(error).replace(/^error: /, '');
  const facts = error instanceof CommanderError ? ([['to do', 'see the command with --help']] as const) : [];
  const colors = pc.createColors(shell.stderr.isTerminal && shell.env['NO_COLOR'] === undefined);
  shell.stderr.write(renderReport({ what, facts }, colors));
  return usage ? exitCodes.usage : exitCodes.failure;
}
