import pico from 'picocolors';

/** Colour on a terminal only: not in a pipe, whatever else the environment says of colours. */
export const color = pico.createColors(process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined);
