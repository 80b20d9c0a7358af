/**
 * Builds the images of the WordPress example on a Docker engine, without any registry.
 *
 *   npx tsx examples/wordpress/build-images.ts [--docker-socket PATH]
 */
import { buildImages } from '../images/build.ts';
import { mariadbImage } from './images/mariadb.ts';
import { wordpressImage } from './images/wordpress.ts';

buildImages(async (say) => [await mariadbImage(say), await wordpressImage(say)]);
