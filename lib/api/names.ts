/**
 * What may be called what. Each check answers with the broken rule as a sentence that begins "must", or
 * undefined; where one character is to blame it is named with its position (F87: no silent mismatch).
 * Limits: Kubernetes v1 API conventions, "Names and IDs", RFC 1035, RFC 1123 and RFC 6335.
 */
export type Check = (value: string) => string | undefined;

export const maxLabelLength = 63;
export const maxSubdomainLength = 253;

const shown: Readonly<Record<string, string>> = { ' ': 'a space', '\t': 'a tab', '\n': 'a line break' };
/** A character as a person should read it. */
export const nameCharacter = (character: string): string => shown[character] ?? `character '${character}'`;

/** " (a space at position 4 is not allowed)" for the first character outside of `allowed`; positions count from 1. */
function blame(value: string, allowed: RegExp): string {
  let position = 0;
  for (const character of value) {
    position++;
    if (!allowed.test(character)) return ` (${nameCharacter(character)} at position ${position} is not allowed)`;
  }
  return '';
}

const tooLong = (value: string, max: number): string | undefined =>
  value.length > max ? `must be no more than ${max} characters, and this has ${value.length}` : undefined;

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const label1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const nameWord = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Namespaces, containers, volumes. */
export const dnsLabel: Check = (value) =>
  tooLong(value, maxLabelLength) ??
  (label.test(value)
    ? undefined
    : `must be a lowercase RFC 1123 label: lower case letters, digits and '-', with a letter or digit at both ends, such as 'my-name'${blame(value, /[-a-z0-9]/)}`);

/** Most objects. */
export const dnsSubdomain: Check = (value) =>
  tooLong(value, maxSubdomainLength) ??
  (subdomain.test(value)
    ? undefined
    : `must be a lowercase RFC 1123 subdomain: lower case letters, digits, '-' and '.', with a letter or digit at both ends of each part, such as 'web.example.com'${blame(value, /[-.a-z0-9]/)}`);

/** Services: what a resolver of 1987 accepts. */
export const dns1035Label: Check = (value) =>
  tooLong(value, maxLabelLength) ??
  (label1035.test(value)
    ? undefined
    : `must be a DNS-1035 label: lower case letters, digits and '-', beginning with a letter and ending with a letter or digit, such as 'my-name'${blame(value, /[-a-z0-9]/)}`);

const wordRule = `letters, digits, '-', '_' and '.', with a letter or digit at both ends`;

/** A label or annotation key, a finalizer, a condition type: `[prefix/]name`. */
export const qualifiedName: Check = (value) => {
  const parts = value.split('/');
  if (parts.length > 2) return `must be a name with at most one prefix and one '/', such as 'example.com/my-name'`;
  const [prefix, name] = parts.length === 2 ? [parts[0], parts[1] ?? ''] : [undefined, value];
  if (prefix !== undefined) {
    if (prefix === '') return `must have a prefix before the '/', such as 'example.com/my-name'`;
    const wrong = dnsSubdomain(prefix);
    if (wrong !== undefined) return `prefix part '${prefix}' ${wrong}`;
  }
  if (name === '') return 'must have a name part that is not empty';
  const long = tooLong(name, maxLabelLength);
  if (long !== undefined) return prefix === undefined ? long : `name part ${long}`;
  if (nameWord.test(name)) return undefined;
  return `must consist of ${wordRule}, such as 'MyName' or 'my.name'${blame(name, /[-A-Za-z0-9_.]/)}`;
};

/** Annotation keys are label keys whose case does not count. */
export const annotationKey: Check = (value) => qualifiedName(value.toLowerCase());

export const labelValue: Check = (value) => {
  if (value === '' || (nameWord.test(value) && value.length <= maxLabelLength)) return undefined;
  return (
    tooLong(value, maxLabelLength) ??
    `must be empty or consist of ${wordRule}, such as 'MyValue' or 'my_value'${blame(value, /[-A-Za-z0-9_.]/)}`
  );
};

/** A container port's name (RFC 6335 service name). */
export const portName: Check = (value) => {
  if (value === '') return 'must not be empty';
  if (value.length > 15) return `must be no more than 15 characters, and this has ${value.length}`;
  if (!/^[-a-z0-9]+$/.test(value))
    return `must contain only lower case letters, digits and '-'${blame(value, /[-a-z0-9]/)}`;
  if (!/[a-z]/.test(value)) return 'must contain at least one letter';
  if (value.includes('--')) return `must not contain two '-' in a row`;
  return value.startsWith('-') || value.endsWith('-') ? `must not begin or end with '-'` : undefined;
};

export const portNumber = (value: number): string | undefined =>
  Number.isInteger(value) && value >= 1 && value <= 65535 ? undefined : 'must be between 1 and 65535, inclusive';

/** Printable ASCII except `=`. */
export const envName: Check = (value) => {
  if (value === '') return 'must not be empty';
  return /^[ -<>-~]+$/.test(value)
    ? undefined
    : `must consist of printable ASCII characters other than '='${blame(value, /[ -<>-~]/)}`;
};

/** A key of a ConfigMap or Secret: it becomes a file's name. */
export const dataKey: Check = (value) => {
  const long = tooLong(value, maxSubdomainLength);
  if (long !== undefined) return long;
  if (value === '.' || value === '..') return `must not be '${value}'`;
  if (value.startsWith('..')) return `must not begin with '..'`;
  return /^[-._a-zA-Z0-9]+$/.test(value)
    ? undefined
    : `must consist of letters, digits, '-', '_' and '.', such as 'key.name'${blame(value, /[-._a-zA-Z0-9]/)}`;
};

export const cIdentifier: Check = (value) =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(value)
    ? undefined
    : `must consist of letters, digits and '_', not beginning with a digit${blame(value, /[A-Za-z0-9_]/)}`;

/** Roles and bindings: any text that can be a part of a path, such as `system:node`. */
export const pathSegment: Check = (value) => {
  if (value === '.' || value === '..') return `may not be '${value}'`;
  return /[/%]/.test(value) ? `may not contain '/' or '%'` : tooLong(value, maxSubdomainLength);
};
