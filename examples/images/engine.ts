import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import Docker from 'dockerode';
import { pack } from 'tar-stream';

/** A file, folder or link of an image. */
export interface ImageFile {
  readonly path: string;
  readonly content?: Buffer;
  readonly mode?: number;
  /** Where a symbolic link leads. */
  readonly linkTo?: string;
}

export interface Image {
  /** `troupe/redis:1` */
  readonly name: string;
  /** Changes when and only when the image should be built again. */
  readonly hash: string;
  readonly entrypoint: readonly string[];
  readonly port: number;
  readonly user?: string;
  /** Called only when the image is not there yet. */
  files(): Promise<readonly ImageFile[]>;
}

const hashLabel = 'dev.troupe.example.content';

/** The engine at an address such as `unix:///var/run/docker.sock`, `/var/run/docker.sock` or `tcp://host:2375`. */
export function engineAt(address: string): Docker {
  if (/^(tcp|http):\/\//.test(address)) {
    const { hostname, port } = new URL(address);
    return new Docker({ host: hostname, port: port === '' ? 2375 : Number(port) });
  }
  return new Docker({ socketPath: address.replace(/^unix:\/\//, '') });
}

/** Makes the image unless the engine has it already. Resolves to whether there was anything to do. */
export async function ensureImage(engine: Docker, image: Image): Promise<'built' | 'present'> {
  if ((await contentHashOf(engine, image.name)) === image.hash) return 'present';
  const files = await image.files();
  const tar = pack();
  for (const { path, content, mode, linkTo } of files) {
    const name = path.replace(/^\//, '');
    if (linkTo !== undefined) tar.entry({ name, type: 'symlink', linkname: linkTo });
    else if (content === undefined) tar.entry({ name, type: 'directory', mode: mode ?? 0o755 });
    else tar.entry({ name, mode: mode ?? 0o644, mtime: new Date(0) }, content);
  }
  tar.finalize();
  const [repo, tag] = image.name.split(':');
  const changes = [
    `ENTRYPOINT ${JSON.stringify(image.entrypoint)}`,
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
    `EXPOSE ${image.port}`,
    `LABEL ${hashLabel}=${image.hash}`,
    ...(image.user === undefined ? [] : [`USER ${image.user}`]),
  ];
  const answer = await engine.importImage(tar.pipe(new PassThrough()), { repo, tag, changes });
  let said = '';
  answer.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await finished(answer);
  // The engine answers 200 before it has read the tar: an error comes in the stream.
  const error = /"error":"((?:[^"\\]|\\.)*)"/.exec(said)?.[1];
  if (error !== undefined) throw new Error(`the engine did not take ${image.name}: ${error}`);
  return 'built';
}

async function contentHashOf(engine: Docker, name: string): Promise<string | undefined> {
  try {
    const { Config } = await engine.getImage(name).inspect();
    return Config.Labels?.[hashLabel];
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}
