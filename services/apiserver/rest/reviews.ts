import { isObject, listAt, objectAt, textAt, type Json } from '../../../lib/api/json.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Caller } from './caller.ts';
import { requireBody } from './body.ts';
import { jsonReply, type RestReply, type RestRequest } from './message.ts';
import { mayDo, rulesOf } from './caller.ts';

/** Answers to questions about who asks and what he may do; nothing is kept. By group, version and resource. */
export const reviews: Readonly<Record<string, (caller: Caller, request: RestRequest) => Promise<RestReply>>> = {
  'authentication.k8s.io/v1/selfsubjectreviews': whoAmI,
  'authorization.k8s.io/v1/selfsubjectaccessreviews': mayI,
  'authorization.k8s.io/v1/localsubjectaccessreviews': maySomebody,
  'authorization.k8s.io/v1/subjectaccessreviews': maySomebody,
  'authorization.k8s.io/v1/selfsubjectrulesreviews': whatMayI,
};

async function whoAmI(caller: Caller, request: RestRequest): Promise<RestReply> {
  await requireBody(request, 'Ignore');
  const status = { userInfo: { username: caller.user, groups: caller.groups } };
  return jsonReply({ ...typeOf('authentication.k8s.io/v1', 'SelfSubjectReview'), metadata: {}, status }, 201);
}

async function mayI(caller: Caller, request: RestRequest): Promise<RestReply> {
  const spec = await specIn(request);
  const status = verdict(caller, spec);
  return jsonReply(
    { ...typeOf('authorization.k8s.io/v1', 'SelfSubjectAccessReview'), metadata: {}, spec, status },
    201,
  );
}

/** About somebody else: who is a pod's account may little, everybody else all, as the rules stand now. */
async function maySomebody(_caller: Caller, request: RestRequest): Promise<RestReply> {
  const spec = await specIn(request);
  const user = textAt(spec, 'user');
  const groups = listAt(spec, 'groups').filter((each) => typeof each === 'string');
  if (user === '' && groups.length === 0)
    throw new ApiError('Invalid', 'spec.user or spec.groups is required: about whom is the question?');
  const status = verdict({ user, groups }, spec);
  return jsonReply({ ...typeOf('authorization.k8s.io/v1', 'SubjectAccessReview'), metadata: {}, spec, status }, 201);
}

async function whatMayI(caller: Caller, request: RestRequest): Promise<RestReply> {
  const spec = await specIn(request);
  const status = { ...rulesOf(caller), incomplete: false };
  return jsonReply({ ...typeOf('authorization.k8s.io/v1', 'SelfSubjectRulesReview'), metadata: {}, spec, status }, 201);
}

function verdict(caller: Caller, spec: Json): { readonly allowed: boolean; readonly reason?: string } {
  const { verb, resource, subresource, namespace, name, path } = {
    ...objectAt(spec, 'resourceAttributes'),
    ...objectAt(spec, 'nonResourceAttributes'),
  };
  const asked = { verb, resource, subresource, namespace, name, path } as Readonly<Record<string, unknown>>;
  const texts = Object.fromEntries(
    Object.entries(asked).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
  const why = mayDo(caller, texts);
  return why === undefined ? { allowed: true } : { allowed: false, reason: why };
}

async function specIn(request: RestRequest): Promise<Json> {
  const { value } = await requireBody(request, 'Ignore');
  if (!isObject(value)) throw new ApiError('BadRequest', 'a review is a JSON object');
  return objectAt(value, 'spec');
}

const typeOf = (apiVersion: string, kind: string): { readonly apiVersion: string; readonly kind: string } => ({
  apiVersion,
  kind,
});
