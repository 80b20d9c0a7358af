/** No vowels and nothing that looks like another: no words, no misreading. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const suffixLength = 5;
/** A name is 63 characters long at most, so that it can be a label value and a host name too. */
export const maxBaseLength = 63 - suffixLength;
/** A random name may be taken; so often another is tried. */
export const maxNameTries = 8;

/** A name that begins with `base` and most likely is free. */
export function generatedName(base: string, random: () => number): string {
  let name = base.slice(0, maxBaseLength);
  for (let i = 0; i < suffixLength; i++) name += alphabet.charAt(Math.floor(random() * alphabet.length));
  return name;
}
