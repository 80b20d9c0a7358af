import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel } from '../names.ts';
import type { Findings } from './findings.ts';
import { immutable, validateLabelSelector } from './metadata.ts';

const rbac = 'rbac.authorization.k8s.io';

export const validateRole = (found: Findings, role: Json): void => {
  validateRules(found, role, false);
};

export function validateClusterRole(found: Findings, role: Json): void {
  validateRules(found, role, true);
  const aggregation = role['aggregationRule'];
  if (!isObject(aggregation)) return;
  const selectors = objectsAt(aggregation, 'clusterRoleSelectors');
  if (selectors.length === 0)
    found.required('aggregationRule.clusterRoleSelectors', 'at least one clusterRoleSelector required');
  selectors.forEach((selector, index) => {
    validateLabelSelector(found, `aggregationRule.clusterRoleSelectors[${index}]`, selector);
  });
}

function validateRules(found: Findings, role: Json, clusterWide: boolean): void {
  objectsAt(role, 'rules').forEach((rule, index) => {
    const at = `rules[${index}]`;
    if (listAt(rule, 'verbs').length === 0) found.required(`${at}.verbs`, 'verbs must contain at least one value');
    const urls = listAt(rule, 'nonResourceURLs');
    const about = ['apiGroups', 'resources', 'resourceNames'].filter((field) => listAt(rule, field).length > 0);
    if (urls.length > 0) {
      if (!clusterWide)
        found.invalid(`${at}.nonResourceURLs`, urls, 'namespaced rules cannot apply to non-resource URLs');
      if (about.length > 0)
        found.invalid(
          `${at}.nonResourceURLs`,
          urls,
          'rules cannot apply to both regular resources and non-resource URLs',
        );
      return;
    }
    if (listAt(rule, 'apiGroups').length === 0)
      found.required(`${at}.apiGroups`, 'resource rules must supply at least one api group');
    if (listAt(rule, 'resources').length === 0)
      found.required(`${at}.resources`, 'resource rules must supply at least one resource');
  });
}

export const validateRoleBinding = (found: Findings, binding: Json): void => {
  validateBinding(found, binding, ['Role', 'ClusterRole']);
};
export const validateClusterRoleBinding = (found: Findings, binding: Json): void => {
  validateBinding(found, binding, ['ClusterRole']);
};

function validateBinding(found: Findings, binding: Json, kinds: readonly string[]): void {
  const ref = objectAt(binding, 'roleRef');
  if (textAt(ref, 'apiGroup') !== rbac) found.notSupported('roleRef.apiGroup', ref['apiGroup'] ?? '', [rbac]);
  if (!kinds.includes(textAt(ref, 'kind'))) found.notSupported('roleRef.kind', ref['kind'] ?? '', kinds);
  if (textAt(ref, 'name') === '') found.required('roleRef.name');
  objectsAt(binding, 'subjects').forEach((subject, index) => {
    const at = `subjects[${index}]`;
    const [kind, group] = [textAt(subject, 'kind'), textAt(subject, 'apiGroup')];
    if (textAt(subject, 'name') === '') found.required(`${at}.name`);
    found.oneOf(`${at}.kind`, subject['kind'], ['ServiceAccount', 'User', 'Group']);
    if (kind === 'ServiceAccount') {
      if (group !== '') found.notSupported(`${at}.apiGroup`, group, ['']);
      found.checkRequired(`${at}.namespace`, textAt(subject, 'namespace'), dnsLabel);
    } else {
      if (group !== rbac) found.notSupported(`${at}.apiGroup`, group, [rbac]);
      if (!isAbsent(subject['namespace']) && subject['namespace'] !== '')
        found.forbidden(`${at}.namespace`, `a ${kind} lives in no namespace`);
    }
  });
}

/** Whoever may change a binding must not thereby give other rights: it is deleted and made again. */
export function validateBindingUpdate(found: Findings, next: Json, previous: Json): void {
  immutable(found, 'roleRef', next['roleRef'], previous['roleRef']);
}
