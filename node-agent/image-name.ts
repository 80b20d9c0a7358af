/** `[registry[:port]/]path[:tag][@digest]`, the path in lower case. */
const pathPart = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const hostPart = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registry = `(?:${hostPart}(?:\\.${hostPart})*(?::[0-9]+)?/)?`;
const reference = new RegExp(
  `^${registry}${pathPart}(?:/${pathPart})*(?::[\\w][\\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`,
);
const maxNameLength = 255;

/** Why no registry could ever have an image of this name; undefined where one could. */
export function invalidImageName(image: string): string | undefined {
  const name = image.split('@')[0] ?? '';
  const path = name.replace(/:[^:/]*$/, '');
  if (path.length > maxNameLength)
    return `invalid image name "${image}": it is longer than ${maxNameLength} characters`;
  if (reference.test(image)) return undefined;
  const rule = 'it must be [registry[:port]/]name[:tag][@digest], the name in lower case';
  return `invalid image name "${image}": ${rule}`;
}
