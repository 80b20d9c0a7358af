/**
 * Builds the image of the checker and of what it checks on a Docker engine, without any registry.
 *
 *   npx tsx examples/health-checker/build-images.ts [--docker-socket PATH]
 */
import { buildImages } from '../images/build.ts';
import { checkerImage } from './images/checker.ts';

buildImages(async () => [await checkerImage()]);
