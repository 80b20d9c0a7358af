/**
 * When a node goes into maintenance (RFC 3339). Set on a Node by whoever plans it, it is carried over to the pods on that node by
 * its agent, so that a program can read it from a downwardAPI volume before it is asked to end (F67). Taken off the Node, it goes
 * from the pods too.
 */
export const maintenanceAnnotation = 'troupe.dev/maintenance-at';

const moment = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[-+]\d{2}:\d{2})$/;

/** Whether a text names a moment. */
export const isMoment = (text: string): boolean => moment.test(text) && !Number.isNaN(Date.parse(text));
