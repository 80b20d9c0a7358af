import { pino, type Logger } from 'pino';

/** Structured logs: a constant message plus fields, one JSON line each on standard output. */
export type Log = Logger;

export interface LogOptions {
  /** trace, debug, info, warn, error, fatal or silent */
  readonly level: string;
}

export const newLog = (service: string, options: LogOptions): Log =>
  pino({
    level: options.level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { error: pino.stdSerializers.err },
  });

/** For parts that are used where nobody reads logs, such as unit tests. */
export const silentLog: Log = pino({ level: 'silent' });
