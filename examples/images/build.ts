import { parseArgs } from 'node:util';
import { engineAt, ensureImage, type Image } from './engine.ts';

const defaultSocket = '/var/run/docker.sock';
const say = (text: string): void => {
  console.log(text);
};

/**
 * The whole of a `build-images.ts`: makes the images on a Docker engine, without any registry. The engine is that of
 * --docker-socket, else of DOCKER_HOST, else the machine's own. What is there already is left alone. Sets the exit code.
 */
export function buildImages(images: (say: (text: string) => void) => Promise<readonly Image[]>): void {
  build(images).catch((error: unknown) => {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}

async function build(images: (say: (text: string) => void) => Promise<readonly Image[]>): Promise<void> {
  const { values } = parseArgs({ options: { 'docker-socket': { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help === true) {
    return say('Usage: build-images.ts [--docker-socket PATH]\nThe engine may also be named by DOCKER_HOST.');
  }
  const address = values['docker-socket'] ?? process.env['DOCKER_HOST'] ?? defaultSocket;
  const engine = engineAt(address);
  await engine.ping().catch((error: unknown) => {
    throw new Error(
      `no Docker engine answers at ${address} (${(error as Error).message}). Name one with --docker-socket or DOCKER_HOST; ` +
        'the one of a running cluster is shown by: troupe status',
      { cause: error },
    );
  });
  for (const image of await images(say)) {
    const started = performance.now();
    const what = await ensureImage(engine, image);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(what === 'present' ? `${image.name} is there already` : `${image.name} built in ${seconds} s`);
  }
}
