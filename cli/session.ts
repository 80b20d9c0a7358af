import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import pc from 'picocolors';
import type { CallOptions, Client } from '../lib/client/client.ts';
import type { PodStreams } from '../lib/client/pod-streams.ts';
import type { Colors } from './columns.ts';
import { parseDurationMs } from './duration.ts';
import { renderReport, reportOf, type Addresses, type Locate } from './report.ts';
import { AlreadyReported, ExitWith, UsageError, type Shell } from './shell.ts';

export const outputs = ['table', 'wide', 'yaml', 'json', 'name'] as const;
export type Output = (typeof outputs)[number];

/** The options every command has, parsed. */
export interface Globals extends Addresses {
  readonly namespace: string;
  /** The namespace was given, not assumed: an object of a manifest may not contradict it. */
  readonly namespaceGiven: boolean;
  readonly output: Output | undefined;
  readonly color: boolean;
  readonly requestTimeoutMs: number;
  /** The server is the one that this pod was told of, to be asked with the pod's own token. */
  readonly asPod: boolean;
}

/** One run of one command: its options, its connections (opened when first asked for) and its voice. */
export interface Session {
  readonly shell: Shell;
  readonly globals: Globals;
  /** For standard output; without effect where it is no terminal. */
  readonly colors: Colors;
  readonly signal: AbortSignal;
  /** The deadline of one request. */
  readonly call: CallOptions;
  client(): Promise<Client>;
  streams(): Promise<PodStreams>;
  /** One line on standard output. */
  print(line: string): void;
  /** One line about the work, on standard error. */
  note(line: string): void;
  warn(message: string): void;
  /** What went wrong with one object of several; the command goes on and fails in the end. */
  report(error: unknown, doing?: string, locate?: Locate): void;
  /** Fails unless `-o` is absent or one of these. */
  outputOf(...allowed: Output[]): Output | undefined;
}

/**
 * Declares the options that every command about objects has. They may stand before the command's name or after it;
 * what stands after wins. No defaults here: `globalsOf` must see what was given.
 */
export function declareGlobals<C extends CommandUnknownOpts>(command: C): C {
  command
    .optionsGroup('Options of every command:')
    .option('--server <address>', 'address of the apiserver (TROUPE_SERVER, or in a pod its own, or 127.0.0.1:7400)')
    .option('-n, --namespace <name>', 'namespace to work in (TROUPE_NAMESPACE, or default)')
    .option('-o, --output <form>', `form of the output: ${outputs.join(', ')}`)
    .option('--no-color', 'no colour, even on a terminal (NO_COLOR)')
    .option('--request-timeout <duration>', 'how long one request may take, such as 500ms or 1m (10s)')
    .optionsGroup('Options:');
  return command;
}

/** Reads the global options of a command. Throws UsageError for a value that cannot be. */
export function globalsOf(command: CommandUnknownOpts, env: Shell['env']): Globals {
  const layers = [command.opts(), command.parent?.opts() ?? {}] as readonly Readonly<Record<string, unknown>>[];
  const given = (name: string, variable?: string): string | undefined => {
    const found = layers.map((layer) => layer[name]).find((value) => typeof value === 'string');
    return found ?? (variable === undefined ? undefined : env[variable]);
  };
  const output = given('output');
  if (output !== undefined && !outputs.some((known) => known === output)) {
    throw new UsageError(`-o ${output}: there is no such form of output; use one of ${outputs.join(', ')}`);
  }
  const namespace = given('namespace', 'TROUPE_NAMESPACE');
  if (namespace === '') throw new UsageError('--namespace is empty; give a name, or -A for all namespaces');
  const requestTimeoutMs = parseDurationMs('--request-timeout', given('requestTimeout') ?? '10s');
  if (requestTimeoutMs <= 0) throw new UsageError('--request-timeout must be more than 0');
  const named = given('server', 'TROUPE_SERVER');
  const own = named === undefined ? serverOfPod(env) : undefined;
  return {
    server: named ?? own ?? '127.0.0.1:7400',
    asPod: own !== undefined,
    namespace: namespace ?? 'default',
    namespaceGiven: namespace !== undefined,
    output: output as Output | undefined,
    color: layers.every((layer) => layer['color'] !== false) && env['NO_COLOR'] === undefined,
    requestTimeoutMs,
  };
}

/** What a pod is told of the API by its environment; undefined outside of pods. */
function serverOfPod(env: Shell['env']): string | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT_GRPC: port } = env;
  return host === undefined || host === '' || port === undefined || port === '' ? undefined : `${host}:${port}`;
}

/** Runs `work` with a session, says what made it fail, and closes what it opened, however it ends. */
export async function withSession(
  shell: Shell,
  command: CommandUnknownOpts,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const globals = globalsOf(command, shell.env);
  let client: Promise<Client> | undefined;
  let streams: Promise<PodStreams> | undefined;
  const timeoutMs = globals.requestTimeoutMs;
  const errorColors = pc.createColors(globals.color && shell.stderr.isTerminal);
  const session: Session = {
    shell,
    globals,
    colors: pc.createColors(globals.color && shell.stdout.isTerminal),
    signal: shell.signal,
    call: { timeoutMs, signal: shell.signal },
    client: () => (client ??= shell.connect(globals.server, { timeoutMs, asPod: globals.asPod })),
    streams: () => (streams ??= shell.connectStreams(globals.server, { timeoutMs })),
    print: (line) => {
      shell.stdout.write(`${line}\n`);
    },
    note: (line) => {
      shell.stderr.write(`${line}\n`);
    },
    warn: (message) => {
      shell.stderr.write(`${errorColors.yellow('warning:')} ${message}\n`);
    },
    report: (error, doing, locate) => {
      shell.stderr.write(renderReport(reportOf(error, globals, doing, locate), errorColors));
    },
    outputOf: (...allowed) => {
      const { output } = globals;
      if (output !== undefined && !allowed.includes(output)) {
        throw new UsageError(`-o ${output} does not fit this command; use ${allowed.join(', ')} or leave it out`);
      }
      return output;
    },
  };
  try {
    await work(session);
  } catch (error) {
    if (
      error instanceof UsageError ||
      error instanceof AlreadyReported ||
      error instanceof ExitWith ||
      shell.signal.aborted
    )
      throw error;
    shell.stderr.write(renderReport(reportOf(error, globals), errorColors));
    throw new AlreadyReported();
  } finally {
    // What never opened has nothing to close, and its error has been thrown to `work` already.
    (await client?.catch(() => undefined))?.close();
    (await streams?.catch(() => undefined))?.close();
  }
}
