import { ApiError } from '../../../lib/base/errors.ts';
import { deleteOptions, namespaceFor, revisionOf, writeOptions, type Place } from '../door/requests.ts';
import type { DeleteOptions, Paging, Selection, WriteOptions } from '../registry/registry.ts';

type Strictness = 'Strict' | 'Warn' | 'Ignore';

/** `labelSelector` and `fieldSelector`, within the namespace of the path. */
export function selectionIn(query: URLSearchParams, kind: Place, namespace: string | undefined): Selection {
  const place = namespaceFor(kind, namespace ?? '', false);
  const labelSelector = query.get('labelSelector') ?? '';
  const fieldSelector = query.get('fieldSelector') ?? '';
  return {
    ...(place === undefined ? {} : { namespace: place }),
    ...(labelSelector === '' ? {} : { labelSelector }),
    ...(fieldSelector === '' ? {} : { fieldSelector }),
  };
}

/** A page, or a past state. `resourceVersion` alone asks for a state not older: every answer here is the latest. */
export function pagingIn(query: URLSearchParams): Paging {
  const limit = wholeNumber(query, 'limit');
  const token = query.get('continue') ?? '';
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  checkMatch(match, version, token);
  return {
    ...(limit === undefined || limit === 0 ? {} : { limit }),
    ...(token === '' ? {} : { continue: token }),
    ...(match === 'Exact' ? { atRevision: revisionOf(version, 'resourceVersion') } : {}),
  };
}

function checkMatch(match: string, version: string, token: string): void {
  if (match === '') return;
  if (match !== 'Exact' && match !== 'NotOlderThan')
    throw new ApiError('BadRequest', `resourceVersionMatch ${JSON.stringify(match)} is neither Exact nor NotOlderThan`);
  if (token !== '')
    throw new ApiError('BadRequest', 'resourceVersionMatch is forbidden with continue: the token says the version');
  if (version === '') throw new ApiError('BadRequest', 'resourceVersionMatch is forbidden without resourceVersion');
  if (match === 'Exact' && version === '0')
    throw new ApiError('BadRequest', 'resourceVersionMatch Exact is forbidden with resourceVersion 0');
}

/** A number from the query. BadRequest when it is none, or below zero. */
export function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new ApiError('BadRequest', `${name} ${JSON.stringify(text)} must be a whole number, 0 or more`);
}

/** `true` and `1` are true, also the name alone; `false`, `0` and absence are not. BadRequest for another word. */
export function flag(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  if (text === null) return false;
  if (['', 'true', '1', 'True', 'TRUE', 't', 'T'].includes(text)) return true;
  if (['false', '0', 'False', 'FALSE', 'f', 'F'].includes(text)) return false;
  throw new ApiError('BadRequest', `${name} ${JSON.stringify(text)} must be true or false`);
}

const maxManager = 128;

/** `dryRun`, `fieldValidation` and `fieldManager`. */
export function writeOptionsIn(
  query: URLSearchParams,
  traceparent: string | undefined,
): WriteOptions & { readonly fieldValidation: Strictness; readonly fieldManager?: string } {
  const manager = query.get('fieldManager') ?? '';
  if (manager.length > maxManager)
    throw new ApiError('BadRequest', `fieldManager has ${manager.length} characters; at most ${maxManager} are taken`);
  if (!/^[ -~]*$/.test(manager)) throw new ApiError('BadRequest', 'fieldManager must be printable');
  const options = writeOptions(
    { dry_run: dryRunIn(query), field_validation: query.get('fieldValidation') ?? '' },
    traceparent,
  );
  return { ...options, ...(manager === '' ? {} : { fieldManager: manager }) };
}

/**
 * In whose name a request changes objects when it does not say: the program that sent it, which is what its User-Agent says before the
 * slash (server-side apply alone must say).
 */
export function senderOf(request: { header(name: string): string | undefined }): { readonly fieldManager?: string } {
  const [program = ''] = (request.header('user-agent') ?? '').split('/');
  const printable = program.replace(/[^ -~]/g, '').slice(0, maxManager);
  return printable === '' ? {} : { fieldManager: printable };
}

function dryRunIn(query: URLSearchParams): boolean {
  const wanted = query.getAll('dryRun').filter((text) => text !== '');
  for (const text of wanted)
    if (text !== 'All') throw new ApiError('BadRequest', `dryRun ${JSON.stringify(text)} is not served; there is All`);
  return wanted.length > 0;
}

/** DeleteOptions from the body, or else from the query. */
export function deleteOptionsIn(query: URLSearchParams, body: unknown): DeleteOptions & { readonly dryRun?: boolean } {
  const grace = wholeNumber(query, 'gracePeriodSeconds');
  const policy = query.get('propagationPolicy');
  const orphan = query.has('orphanDependents') ? flag(query, 'orphanDependents') : undefined;
  const asked = {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(orphan === undefined ? {} : { orphanDependents: orphan }),
    ...(dryRunIn(query) ? { dryRun: ['All'] } : {}),
  };
  return { ...deleteOptions(asked), ...deleteOptions(body) };
}
