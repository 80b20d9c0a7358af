import { ApiError, messageOf, type FieldCause } from '../lib/base/errors.ts';
import type { Colors } from './columns.ts';
import { UsageError } from './shell.ts';

/**
 * An error as a person wants it: one block that says what could not be done, then for each broken rule the field,
 * the value and the rule, then what to do. Nothing of it is a stack trace.
 */
export interface Report {
  readonly what: string;
  /** `label: text` lines under it, aligned. */
  readonly facts: readonly (readonly [label: string, text: string])[];
}

/** What the command was told to speak to. */
export interface Addresses {
  readonly server: string;
}

/** Where a field stands in the manifest, such as `web.yaml:12:9`. */
export type Locate = (field: string) => string | undefined;

/** The report of anything a command may throw. `doing` names what was attempted, such as `apply service/web`. */
export function reportOf(error: unknown, globals: Addresses, doing?: string, locate?: Locate): Report {
  const could = doing === undefined ? '' : `could not ${doing}: `;
  if (error instanceof UsageError) return { what: could + error.message, facts: [] };
  if (!(error instanceof ApiError)) return { what: could + messageOf(error), facts: [] };
  const causes = error.details.causes ?? [];
  if (error.reason === 'Invalid' && causes.length > 0) {
    const subject = doing === undefined ? `${error.details.resource ?? 'object'} "${error.details.name ?? ''}"` : '';
    const rules = causes.length === 1 ? 'it breaks a rule' : `it breaks ${causes.length} rules`;
    return {
      what: doing === undefined ? `${subject}: ${rules}` : `${could}${rules}`,
      facts: causes.flatMap((cause) => factsOf(cause, locate)),
    };
  }
  const advice = adviceFor(error, globals);
  return { what: could + plainMessage(error, globals), facts: advice === undefined ? [] : [['to do', advice]] };
}

function factsOf(cause: FieldCause, locate: Locate | undefined): [string, string][] {
  const { value, rule } = splitMessage(cause.message);
  const place = locate?.(cause.field);
  const facts: [string, string][] = [['field', place === undefined ? cause.field : `${cause.field} (${place})`]];
  // What the API says in place of a value that is too long to be shown.
  if (value !== undefined && value !== '"object"' && value !== '"array"') facts.push(['value', value]);
  facts.push(['rule', rule]);
  return facts;
}

/** Takes `Invalid value: -1: must be 0 or more` apart; a message of another form is all rule. */
function splitMessage(message: string): { readonly value?: string; readonly rule: string } {
  const parts =
    /^(Invalid value|Unsupported value|Duplicate value|Too long|Too many): ("(?:[^"\\]|\\.)*"|\{.*?\}|\[.*?\]|[^:\s]+)(?:: (.*))?$/s.exec(
      message,
    );
  if (parts === null) return { rule: message };
  const [, kind, value, rule] = parts;
  const text = rule ?? (kind === 'Duplicate value' ? 'may be there only once' : (kind ?? message));
  return value === undefined ? { rule: text } : { value, rule: text };
}

/** What the transport says when nobody listens is for its authors; a person wants the address. */
function plainMessage(error: ApiError, { server }: Addresses): string {
  if (error.reason !== 'ServiceUnavailable') return error.message;
  const why = /\b(ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EAI_AGAIN)\b/.exec(error.message)?.[1];
  const unreachable = why !== undefined || error.message.includes('No connection established');
  return unreachable
    ? `the apiserver at ${server} cannot be reached${why === undefined ? '' : ` (${why})`}`
    : error.message;
}

function adviceFor(error: ApiError, globals: Addresses): string | undefined {
  switch (error.reason) {
    case 'ServiceUnavailable':
      if (error.message.includes('agent of node')) return 'see how the node is: troupe get nodes';
      if (/\bbus\b/.test(error.message)) return 'see that the bus runs: troupe status';
      return `start a cluster here with "troupe up", or name another with --server (now ${globals.server})`;
    case 'Timeout':
      return `see whether the apiserver at ${globals.server} is well (troupe status), or allow it more time with --request-timeout`;
    case 'Conflict':
      return 'look at the object as it is now (troupe get -o yaml) and try again';
    case 'NotFound':
      return error.details.name === undefined
        ? undefined
        : 'look for its name with "troupe get", and in other namespaces with -A';
    case 'RequestEntityTooLarge':
      return 'split it into smaller objects';
    case 'TooManyRequests':
      return `wait ${error.details.retryAfterSeconds ?? 1} s and try again`;
    case 'AlreadyExists':
    case 'BadRequest':
    case 'Expired':
    case 'Forbidden':
    case 'InternalError':
    case 'Invalid':
    case 'MethodNotAllowed':
    case 'NotAcceptable':
    case 'Unauthorized':
    case 'UnsupportedMediaType':
      return undefined;
  }
}

/** The block as lines. */
export function renderReport(report: Report, colors: Colors): string {
  const width = Math.max(0, ...report.facts.map(([label]) => label.length));
  const facts = report.facts.map(([label, text]) => {
    const indent = ' '.repeat(width + 4);
    return `  ${colors.dim(`${label}:`.padEnd(width + 1))} ${text.replaceAll('\n', `\n${indent}`)}`;
  });
  return [`${colors.red('error:')} ${report.what}`, ...facts].join('\n') + '\n';
}
