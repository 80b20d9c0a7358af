import type { ConfigTable } from '../../lib/base/config.ts';

export const persistentVolumeOptions = {
  defaultClass: {
    flag: '--default-class',
    env: 'TROUPE_DEFAULT_CLASS',
    default: true,
    help: 'Make the StorageClass "local", the default one, where there is no StorageClass at all',
  },
} as const satisfies ConfigTable;
