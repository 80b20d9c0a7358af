import { lstat, readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFile } from './engine.ts';

/** Everything below `root` as files of an image, in order of path; without the paths that `leaveOut` matches, and what is below them. */
export async function treeFiles(root: string, leaveOut: RegExp): Promise<ImageFile[]> {
  const files: ImageFile[] = [];
  const walk = async (path: string): Promise<void> => {
    for (const name of (await readdir(join(root, path))).sort()) {
      const at = `${path}/${name}`;
      if (leaveOut.test(at)) continue;
      const here = join(root, at);
      const found = await lstat(here);
      if (found.isSymbolicLink()) files.push({ path: at, linkTo: await readlink(here) });
      else if (found.isDirectory()) {
        files.push({ path: at, mode: found.mode & 0o7777 });
        await walk(at);
      } else if (found.isFile()) files.push({ path: at, content: await readFile(here), mode: found.mode & 0o7777 });
    }
  };
  await walk('');
  return files;
}
