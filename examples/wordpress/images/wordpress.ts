import { readFile } from 'node:fs/promises';
import type { Image, ImageFile } from '../../images/engine.ts';
import { contentHash, unpackedFiles } from '../../images/unpacked.ts';

const own = [
  { file: 'wordpress-start.sh', path: '/start.sh', mode: 0o755 },
  { file: 'apache2.conf', path: '/etc/apache2.conf', mode: 0o644 },
  { file: 'php.ini', path: '/etc/php/php.ini', mode: 0o644 },
  { file: 'config-default.php', path: '/etc/wordpress/config-default.php', mode: 0o644 },
] as const;

const apacheModules = ['mpm_prefork', 'authz_core', 'dir', 'mime', 'alias'].map((name) => `mod_${name}.so`);
const phpModules = ['opcache', 'mysqlnd', 'mysqli', 'ctype', 'iconv', 'tokenizer', 'fileinfo'].map(
  (name) => `${name}.so`,
);

/** WordPress with Apache and PHP as Debian builds them. Its content is copied to a folder that may be a claim's. */
export async function wordpressImage(say: (text: string) => void): Promise<Image> {
  const files: ImageFile[] = await Promise.all(
    own.map(async ({ file, ...rest }) => ({ ...rest, content: await readFile(new URL(file, import.meta.url)) })),
  );
  return {
    name: 'troupe/wordpress:1',
    hash: await contentHash('wordpress v1', ...files.flatMap(({ content }) => content ?? [])),
    entrypoint: ['/bin/sh', '/start.sh'],
    port: 8080,
    user: '65534:65534',
    files: async () => [...(await debianFiles(say)), ...files],
  };
}

async function debianFiles(say: (text: string) => void): Promise<ImageFile[]> {
  const all = await unpackedFiles({
    packages: [
      ...[
        'wordpress',
        'wordpress-theme-twentytwentythree',
        'libjs-cropper',
        'libjs-underscore',
        'php-getid3',
        'tzdata',
      ],
      ...[
        'libphp-phpmailer',
        'apache2-bin',
        'libapache2-mod-php8.2',
        'php8.2-common',
        'php8.2-mysql',
        'php8.2-opcache',
      ],
    ],
    programs: [
      'usr/sbin/apache2',
      'usr/lib/apache2/modules/libphp8.2.so',
      ...apacheModules.map((name) => `usr/lib/apache2/modules/${name}`),
      ...phpModules.map((name) => `usr/lib/php/20220829/${name}`),
    ],
    leaveOut: /^\/(etc|usr\/share\/(zoneinfo\/(right|posix)|perl|apache2|python3|GeoIP|groff))/,
    instead: 'The image needs WordPress, Apache and PHP of Debian 12.',
    say,
  });
  // A claim is mounted over the content: the start script copies it there.
  return all.map((file) => ({
    ...file,
    path: file.path.replace(/^\/var\/lib\/wordpress\/wp-content\//, '/usr/share/wordpress-content/'),
  }));
}
