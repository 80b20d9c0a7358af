/**
 * Builds the image that website.yaml names on a Docker engine, without any registry.
 *
 *   npx tsx examples/website-controller/build-images.ts [--docker-socket PATH]
 */
import { buildImages } from '../images/build.ts';
import { websiteImage } from './images/website.ts';

buildImages(async () => [await websiteImage()]);
