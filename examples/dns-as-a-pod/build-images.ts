/**
 * Builds the image of the DNS service on a Docker engine, without any registry. Wants `npm run build` first.
 *
 *   npx tsx examples/dns-as-a-pod/build-images.ts [--docker-socket PATH]
 */
import { buildImages } from '../images/build.ts';
import { dnsImage } from './images/dns.ts';

buildImages(async () => [await dnsImage()]);
