import type { KindInfo } from '../../../../lib/api/kinds.ts';
import type { CustomVersion } from '../../../../lib/api/objects.ts';
import { schemaRef, typeMembers } from './schemas.ts';

type Json = Readonly<Record<string, unknown>>;

/** The name of a schema that users gave: the group backwards, as names that must not clash are made. */
export const customName = ({ group, version, kind }: KindInfo): string =>
  [...group.split('.').reverse(), version, kind].join('.');

export const customRef = (info: KindInfo): Json => ({ $ref: `#/components/schemas/${customName(info)}` });

/** The schema of a definition, with what every object has beside it. */
export function customSchema(info: KindInfo, { schema }: CustomVersion): Json {
  const { properties, ...rest } = schema?.openAPIV3Schema ?? {};
  const { group, version, kind } = info;
  return {
    type: 'object',
    ...rest,
    properties: { ...typeMembers, ...properties, metadata: { allOf: [schemaRef('ObjectMeta')], default: {} } },
    'x-kubernetes-group-version-kind': [{ group, version, kind }],
  };
}
