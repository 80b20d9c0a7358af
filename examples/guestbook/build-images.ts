/**
 * Builds the images of the Guestbook on a Docker engine, without any registry.
 *
 *   npx tsx examples/guestbook/build-images.ts [--docker-socket PATH]
 *
 * The engine is that of --docker-socket, else of DOCKER_HOST, else the machine's own. What is there already is left alone.
 */
import { parseArgs } from 'node:util';
import { engineAt, ensureImage } from './images/engine.ts';
import { frontendImage } from './images/frontend.ts';
import { redisImage } from './images/redis.ts';

const defaultSocket = '/var/run/docker.sock';
const say = (text: string): void => {
  console.log(text);
};

async function main(): Promise<void> {
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
  for (const image of [await redisImage(say), await frontendImage()]) {
    const started = performance.now();
    const what = await ensureImage(engine, image);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(what === 'present' ? `${image.name} is there already` : `${image.name} built in ${seconds} s`);
  }
}

main().catch((error: unknown) => {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
