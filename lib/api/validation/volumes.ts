import { isAbsent, isObject, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dataKey, dnsLabel, dnsSubdomain } from '../names.ts';
import { checkAmount } from './amounts.ts';
import { fileFields, validateFieldRef, validateResourceFieldRef } from './environment.ts';
import { Seen, type Findings } from './findings.ts';

/** The volumes of a pod: unique names, exactly one source each, and the source's own rules. */
export function validateVolumes(found: Findings, field: string, volumes: readonly Json[]): void {
  const names = new Seen();
  volumes.forEach((volume, index) => {
    const at = `${field}[${index}]`;
    const name = textAt(volume, 'name');
    found.checkRequired(`${at}.name`, name, dnsLabel);
    if (name !== '' && names.again(name)) found.duplicate(`${at}.name`, name);
    const given = Object.keys(volume).filter((source) => source !== 'name' && isObject(volume[source]));
    if (given.length === 0) found.required(at, 'must specify a volume type');
    for (const source of given.slice(1)) found.forbidden(`${at}.${source}`, 'may not specify more than 1 volume type');
    const [source] = given;
    if (source !== undefined) validateVolumeSource(found, at, source, objectAt(volume, source));
  });
}

/** The rules of one source, below `field`. */
export const validateVolumeSource = (found: Findings, field: string, name: string, source: Json): void =>
  sources[name]?.(found, `${field}.${name}`, source);

type SourceRule = (found: Findings, field: string, source: Json) => void;

const hostPathTypes = [
  '',
  'DirectoryOrCreate',
  'Directory',
  'FileOrCreate',
  'File',
  'Socket',
  'CharDevice',
  'BlockDevice',
];

/** By source. One that is not here is kept as it is: the node says that it cannot mount it. */
const sources: Readonly<Record<string, SourceRule>> = {
  emptyDir(found, field, source) {
    if (!isAbsent(source['medium']) && !textAt(source, 'medium').startsWith('HugePages'))
      found.oneOf(`${field}.medium`, source['medium'], ['', 'Memory']);
    if (!isAbsent(source['sizeLimit'])) checkAmount(found, `${field}.sizeLimit`, source['sizeLimit']);
  },
  hostPath(found, field, source) {
    const path = textAt(source, 'path');
    if (path === '') found.required(`${field}.path`);
    else if (!path.startsWith('/')) found.invalid(`${field}.path`, path, 'must be an absolute path');
    else if (hasBackstep(path)) found.invalid(`${field}.path`, path, backstepRule);
    if (!isAbsent(source['type'])) found.oneOf(`${field}.type`, source['type'], hostPathTypes);
  },
  nfs(found, field, source) {
    if (textAt(source, 'server') === '') found.required(`${field}.server`);
    const path = textAt(source, 'path');
    if (path === '') found.required(`${field}.path`);
    else if (!path.startsWith('/')) found.invalid(`${field}.path`, path, 'must be an absolute path');
  },
  gcePersistentDisk(found, field, source) {
    if (textAt(source, 'pdName') === '') found.required(`${field}.pdName`);
    found.range(`${field}.partition`, source['partition'], 0, 255);
  },
  configMap(found, field, source) {
    found.checkRequired(`${field}.name`, textAt(source, 'name'), dnsSubdomain);
    validateFiles(found, field, source);
  },
  secret(found, field, source) {
    found.checkRequired(`${field}.secretName`, textAt(source, 'secretName'), dnsSubdomain);
    validateFiles(found, field, source);
  },
  persistentVolumeClaim(found, field, source) {
    found.checkRequired(`${field}.claimName`, textAt(source, 'claimName'), dnsSubdomain);
  },
  downwardAPI: validateDownward,
  projected(found, field, source) {
    checkMode(found, `${field}.defaultMode`, source['defaultMode']);
    const paths = new Seen();
    objectsAt(source, 'sources').forEach((projection, index) => {
      const at = `${field}.sources[${index}]`;
      const given = Object.keys(projection).filter((each) => isObject(projection[each]));
      if (given.length === 0) found.required(at, 'must specify a source');
      for (const each of given.slice(1)) found.forbidden(`${at}.${each}`, 'may not specify more than 1 volume type');
      const [each] = given;
      if (each === undefined) return;
      checkDistinct(found, `${at}.${each}`, objectAt(projection, each), paths);
      if (each === 'downwardAPI') validateDownward(found, `${at}.${each}`, objectAt(projection, each));
      if (each === 'serviceAccountToken') validateToken(found, `${at}.${each}`, objectAt(projection, each));
      if (each !== 'configMap' && each !== 'secret') return;
      found.checkRequired(`${at}.${each}.name`, textAt(objectAt(projection, each), 'name'), dnsSubdomain);
      validateFiles(found, `${at}.${each}`, objectAt(projection, each));
    });
  },
};

/** Two sources of one volume must not want the same file. */
function checkDistinct(found: Findings, field: string, source: Json, paths: Seen): void {
  const named = [
    ...objectsAt(source, 'items').map(
      (item, index) => [`${field}.items[${index}].path`, textAt(item, 'path')] as const,
    ),
    [`${field}.path`, textAt(source, 'path')] as const,
  ];
  for (const [at, path] of named)
    if (path !== '' && paths.again(path)) found.invalid(at, path, 'conflicting duplicate paths');
}

const minTokenSeconds = 600;
const maxTokenSeconds = 2 ** 32;

function validateToken(found: Findings, field: string, token: Json): void {
  checkFilePath(found, `${field}.path`, textAt(token, 'path'));
  found.range(`${field}.expirationSeconds`, token['expirationSeconds'], minTokenSeconds, maxTokenSeconds);
}

function validateFiles(found: Findings, field: string, source: Json): void {
  checkMode(found, `${field}.defaultMode`, source['defaultMode']);
  objectsAt(source, 'items').forEach((item, index) => {
    const at = `${field}.items[${index}]`;
    found.checkRequired(`${at}.key`, textAt(item, 'key'), dataKey);
    checkFilePath(found, `${at}.path`, textAt(item, 'path'));
    checkMode(found, `${at}.mode`, item['mode']);
  });
}

function validateDownward(found: Findings, field: string, source: Json): void {
  checkMode(found, `${field}.defaultMode`, source['defaultMode']);
  objectsAt(source, 'items').forEach((item, index) => {
    const at = `${field}.items[${index}]`;
    checkFilePath(found, `${at}.path`, textAt(item, 'path'));
    checkMode(found, `${at}.mode`, item['mode']);
    const [fieldRef, resourceRef] = [item['fieldRef'], item['resourceFieldRef']];
    if (isObject(fieldRef) && isObject(resourceRef))
      found.invalid(at, '', 'fieldRef and resourceFieldRef can not be specified simultaneously');
    else if (isObject(fieldRef)) validateFieldRef(found, `${at}.fieldRef`, fieldRef, fileFields);
    else if (isObject(resourceRef)) validateResourceFieldRef(found, `${at}.resourceFieldRef`, resourceRef);
    else found.required(`${at}.fieldRef`, 'one of fieldRef and resourceFieldRef is required');
  });
}

function checkMode(found: Findings, field: string, mode: unknown): void {
  if (isAbsent(mode)) return;
  if (typeof mode !== 'number' || !Number.isInteger(mode) || mode < 0 || mode > 0o777)
    found.invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive');
}

const hasBackstep = (path: string): boolean => path.split('/').includes('..');
const backstepRule = `must not contain '..'`;

function checkRelative(found: Findings, field: string, path: string): void {
  if (path === '') found.required(field);
  else if (path.startsWith('/')) found.invalid(field, path, 'must be a relative path');
  else if (hasBackstep(path)) found.invalid(field, path, backstepRule);
}

/** A file's place in a volume; names that begin with ".." are the node's own. */
function checkFilePath(found: Findings, field: string, path: string): void {
  if (path.startsWith('..')) found.invalid(field, path, `must not start with '..'`);
  else checkRelative(found, field, path);
}

/** Where a container sees the pod's volumes. */
export function validateMounts(
  found: Findings,
  field: string,
  mounts: readonly Json[],
  { volumes, privileged }: { readonly volumes: readonly string[]; readonly privileged: boolean },
): void {
  const paths = new Seen();
  mounts.forEach((mount, index) => {
    const at = `${field}[${index}]`;
    const name = textAt(mount, 'name');
    if (name === '') found.required(`${at}.name`);
    else if (!volumes.includes(name))
      found.notFound(
        `${at}.name`,
        name,
        `must be one of the pod's volumes${volumes.length === 0 ? ', and it has none' : `: ${volumes.join(', ')}`}`,
      );
    const path = textAt(mount, 'mountPath');
    if (path === '') found.required(`${at}.mountPath`);
    else if (path.includes(':')) found.invalid(`${at}.mountPath`, path, `must not contain ':'`);
    else if (paths.again(path)) found.invalid(`${at}.mountPath`, path, 'must be unique');
    const subPath = textAt(mount, 'subPath');
    if (subPath !== '') checkRelative(found, `${at}.subPath`, subPath);
    const expression = textAt(mount, 'subPathExpr');
    if (expression !== '' && subPath !== '')
      found.invalid(`${at}.subPathExpr`, expression, 'subPathExpr and subPath are mutually exclusive');
    else if (expression !== '') checkRelative(found, `${at}.subPathExpr`, expression);
    const propagation = mount['mountPropagation'];
    if (!isAbsent(propagation))
      found.oneOf(`${at}.mountPropagation`, propagation, ['None', 'HostToContainer', 'Bidirectional']);
    if (propagation === 'Bidirectional' && !privileged)
      found.forbidden(
        `${at}.mountPropagation`,
        'Bidirectional mount propagation is available only to privileged containers',
      );
  });
}
