import { checkStructural } from '../custom/structural.ts';
import { parseJsonPath, plainSteps } from '../custom/json-path.ts';
import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dns1035Label, dnsLabel, dnsSubdomain } from '../names.ts';
import type { Findings } from './findings.ts';
import { immutable } from './metadata.ts';

/** Groups whose names belong to the API itself. */
const isReserved = (group: string): boolean => /(^|\.)(k8s|kubernetes)\.io$/.test(group);
const approval = 'api-approved.kubernetes.io';

export function validateDefinition(found: Findings, definition: Json): void {
  const [metadata, spec] = [objectAt(definition, 'metadata'), objectAt(definition, 'spec')];
  const group = textAt(spec, 'group');
  found.checkRequired('spec.group', group, dnsSubdomain);
  if (group !== '' && !group.includes('.'))
    found.invalid('spec.group', group, 'should be a domain with at least one dot');
  if (isReserved(group) && textAt(objectAt(metadata, 'annotations'), approval) === '')
    found.required(
      `metadata.annotations[${approval}]`,
      'protected groups must have approval annotation "api-approved.kubernetes.io"',
    );
  const names = objectAt(spec, 'names');
  const plural = textAt(names, 'plural');
  const name = textAt(metadata, 'name');
  if (name !== `${plural}.${group}`) found.invalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group');
  found.oneOf('spec.scope', spec['scope'], ['Namespaced', 'Cluster']);
  validateNames(found, names);
  validateVersions(found, spec);
  const strategy = textAt(objectAt(spec, 'conversion'), 'strategy');
  if (strategy !== '' && strategy !== 'None') found.notSupported('spec.conversion.strategy', strategy, ['None']);
  if (spec['preserveUnknownFields'] === true)
    found.invalid(
      'spec.preserveUnknownFields',
      true,
      'must be false; a schema says x-kubernetes-preserve-unknown-fields',
    );
}

function validateNames(found: Findings, names: Json): void {
  found.checkRequired('spec.names.plural', textAt(names, 'plural'), dns1035Label);
  for (const field of ['kind', 'listKind'])
    found.checkRequired(`spec.names.${field}`, textAt(names, field).toLowerCase(), dns1035Label);
  found.checkRequired('spec.names.singular', textAt(names, 'singular'), dns1035Label);
  if (textAt(names, 'kind') !== '' && textAt(names, 'kind') === textAt(names, 'listKind'))
    found.invalid('spec.names.listKind', names['listKind'], 'kind and listKind may not be the same');
  for (const field of ['shortNames', 'categories'])
    listAt(names, field).forEach((word, index) => {
      found.check(`spec.names.${field}[${index}]`, typeof word === 'string' ? word : '', dns1035Label);
    });
}

function validateVersions(found: Findings, spec: Json): void {
  const versions = objectsAt(spec, 'versions');
  if (versions.length === 0) found.required('spec.versions', 'must have at least one version');
  const seen = new Set<string>();
  versions.forEach((version, index) => {
    const at = `spec.versions[${index}]`;
    const name = textAt(version, 'name');
    found.checkRequired(`${at}.name`, name, dnsLabel);
    if (seen.has(name)) found.duplicate(`${at}.name`, name);
    seen.add(name);
    validateVersion(found, at, version);
  });
  const stored = versions.filter((version) => version['storage'] === true).length;
  if (versions.length > 0 && stored !== 1)
    found.invalid('spec.versions', `${stored} versions`, 'must have exactly one version marked as storage version');
}

function validateVersion(found: Findings, at: string, version: Json): void {
  const schema = objectAt(version, 'schema')['openAPIV3Schema'];
  if (!isObject(schema)) found.required(`${at}.schema.openAPIV3Schema`, 'schemas are required');
  else checkStructural(found, `${at}.schema.openAPIV3Schema`, schema);
  objectsAt(version, 'additionalPrinterColumns').forEach((column, index) => {
    const field = `${at}.additionalPrinterColumns[${index}]`;
    if (textAt(column, 'name') === '') found.required(`${field}.name`);
    found.oneOf(`${field}.type`, column['type'], ['integer', 'number', 'string', 'boolean', 'date']);
    const path = textAt(column, 'jsonPath');
    if (path === '') found.required(`${field}.jsonPath`);
    else if (!path.startsWith('.') || parseJsonPath(path) === undefined)
      found.invalid(
        `${field}.jsonPath`,
        path,
        'must be a JSONPath such as .spec.size or .status.conditions[?(@.type=="Ready")].status',
      );
  });
  objectsAt(version, 'selectableFields').forEach(({ jsonPath }, index) => {
    if (typeof jsonPath !== 'string' || plainSteps(jsonPath) === undefined)
      found.invalid(`${at}.selectableFields[${index}].jsonPath`, jsonPath, 'must be a simple path such as .spec.color');
  });
  const scale = objectAt(version, 'subresources')['scale'];
  if (!isObject(scale)) return;
  const place = `${at}.subresources.scale`;
  checkPath(found, `${place}.specReplicasPath`, scale['specReplicasPath'], 'spec');
  checkPath(found, `${place}.statusReplicasPath`, scale['statusReplicasPath'], 'status');
  if (!isAbsent(scale['labelSelectorPath']))
    checkPath(found, `${place}.labelSelectorPath`, scale['labelSelectorPath'], undefined);
}

function checkPath(found: Findings, field: string, path: unknown, under: 'spec' | 'status' | undefined): void {
  if (typeof path !== 'string' || path === '') return found.required(field);
  const steps = path.startsWith('.') ? plainSteps(path) : undefined;
  const isThere = under === undefined ? steps?.[0] === 'spec' || steps?.[0] === 'status' : steps?.[0] === under;
  if (steps === undefined || !isThere)
    found.invalid(field, path, `should be a json path under .${under ?? 'spec or .status'}, without array notation`);
}

/** Where its objects are and what they are called cannot change while there may be some. */
export function validateDefinitionUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  immutable(found, 'spec.group', spec['group'], before['group']);
  immutable(found, 'spec.scope', spec['scope'], before['scope']);
  immutable(found, 'spec.names.plural', objectAt(spec, 'names')['plural'], objectAt(before, 'names')['plural']);
  immutable(found, 'spec.names.kind', objectAt(spec, 'names')['kind'], objectAt(before, 'names')['kind']);
  const versions = objectsAt(spec, 'versions').map((version) => version['name']);
  for (const stored of listAt(objectAt(previous, 'status'), 'storedVersions'))
    if (!versions.includes(stored))
      found.invalid('status.storedVersions', stored, 'must appear in spec.versions: objects may be stored in it');
}
