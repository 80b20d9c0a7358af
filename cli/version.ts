import packageFile from '../package.json' with { type: 'json' };

/** Of the whole product: all its parts are built and released together. */
export const { version } = packageFile;
