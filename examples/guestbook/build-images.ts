/**
 * Builds the images of the Guestbook on a Docker engine, without any registry.
 *
 *   npx tsx examples/guestbook/build-images.ts [--docker-socket PATH]
 */
import { buildImages } from '../images/build.ts';
import { frontendImage } from './images/frontend.ts';
import { redisImage } from './images/redis.ts';

buildImages(async (say) => [await redisImage(say), await frontendImage()]);
