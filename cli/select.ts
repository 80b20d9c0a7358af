import { notFound } from '../lib/base/errors.ts';
import { makeKey } from '../lib/api/keys.ts';
import type { Objects, Resource } from '../lib/api/kinds.ts';
import type { ListOptions, ListResult } from '../lib/client/client.ts';
import { kindInfo } from './kinds.ts';
import type { Session } from './session.ts';
import { UsageError } from './shell.ts';
import { scopeOf, selectorText, type Target } from './targets.ts';

/** The options with which a command narrows down what it means. */
export interface Selecting {
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly allNamespaces?: true;
}

/** The selection as the API reads it. */
export function listOptions(session: Session, resource: Resource, options: Selecting): ListOptions {
  const namespace = scopeOf(resource, session.globals.namespace, options.allNamespaces === true);
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(options.selector === undefined ? {} : { labelSelector: selectorText(options.selector) }),
    ...(options.fieldSelector === undefined ? {} : { fieldSelector: selectorText(options.fieldSelector) }),
  };
}

/** Names exclude selectors: together they would say two things. Throws UsageError. */
export function checkSelection(targets: readonly Target[], options: Selecting & { readonly all?: true }): void {
  const named = targets.some((target) => target.names !== undefined);
  if (!named) return;
  if (options.selector !== undefined) throw new UsageError('give names or a selector (-l), not both');
  if (options.fieldSelector !== undefined) throw new UsageError('give names or a --field-selector, not both');
  if (options.allNamespaces === true) throw new UsageError('a name is in one namespace: use -n, not -A');
  if (options.all === true) throw new UsageError('give names or --all, not both');
}

/** The objects of one target, and the revision up to which that is known. Absent names are told to `onMissing`. */
export async function read<R extends Resource>(
  session: Session,
  target: Target & { readonly resource: R },
  options: Selecting,
  onMissing: (error: Error) => void,
): Promise<ListResult<Objects[R]>> {
  const client = await session.client();
  const { resource, names } = target;
  if (names === undefined) return client.list(resource, listOptions(session, resource, options), session.call);
  const found = await Promise.all(
    names.map((name) => client.get(resource, keyIn(session, resource, name), session.call)),
  );
  const items: Objects[R][] = [];
  found.forEach((object, index) => {
    if (object === undefined) onMissing(missing(session, resource, names[index] ?? ''));
    else items.push(object);
  });
  return { items, revision: latest(items.map((item) => item.metadata.resourceVersion)) };
}

export const keyIn = (session: Session, resource: Resource, name: string): string =>
  makeKey(scopeOf(resource, session.globals.namespace, false), name);

/** NotFound that says where it was looked for. */
export function missing(session: Session, resource: Resource, name: string): Error {
  const error = notFound(resource, name);
  if (kindInfo(resource).namespaced) error.message += ` in namespace "${session.globals.namespace}"`;
  return error;
}

/** Revisions of one store are growing numbers; here only the newest of several is wanted, to watch on from there. */
const latest = (revisions: readonly string[]): string =>
  revisions.reduce((a, b) => (a.length > b.length || (a.length === b.length && a > b) ? a : b), '0');
