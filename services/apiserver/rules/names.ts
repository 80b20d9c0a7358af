/** Words that the language keeps for itself (CEL specification, "Syntax"). */
const reserved = new Set([
  ...['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if'],
  ...['import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while'],
]);
const written: Readonly<Record<string, string>> = {
  __: '__underscores__',
  '.': '__dot__',
  '-': '__dash__',
  '/': '__slash__',
};

/** How rules write the name of a property (Kubernetes API, "x-kubernetes-validations"); undefined for one that they cannot name. */
export function nameInRules(property: string): string | undefined {
  if (reserved.has(property)) return `__${property}__`;
  const name = property.replace(/__|[.\-/]/g, (part) => written[part] ?? part);
  return /^[A-Za-z_]\w*$/.test(name) ? name : undefined;
}
