import { randomBytes } from 'node:crypto';
import {
  context,
  isSpanContextValid,
  trace,
  SpanStatusCode,
  type Attributes,
  type Context,
  type Link,
  type Span,
  type SpanContext,
  type Tracer,
} from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';

/**
 * Trace context in its W3C text form, `00-<trace>-<span>-<flags>`, which is what travels in gRPC metadata, in bus
 * headers and in the object annotation below. It travels whether or not spans are exported.
 */
export const traceAnnotation = 'troupe.dev/traceparent';

const pattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The context that the text names, or undefined when it is absent or malformed. */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const match = pattern.exec(text ?? '');
  if (match === null) return undefined;
  const [, traceId = '', spanId = '', flags = '00'] = match;
  return { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
}

export const formatTraceparent = (span: SpanContext): string =>
  `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;

/** A new trace, sampled. */
export const newTraceparent = (): string =>
  `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;

/** What to send along with a call made now; undefined outside any trace (a tracer that is switched off makes spans without an id). */
export function activeTraceparent(): string | undefined {
  const span = trace.getSpanContext(context.active());
  return span !== undefined && isSpanContextValid(span) ? formatTraceparent(span) : undefined;
}

/** The active context with the given trace as the parent of what follows; the active one itself when there is none. */
export function contextOf(traceparent: string | undefined): Context {
  const span = parseTraceparent(traceparent);
  return span === undefined ? context.active() : trace.setSpanContext(context.active(), span);
}

export interface SpanOptions {
  /** The trace to continue; the active one when absent. */
  readonly traceparent?: string | undefined;
  readonly attributes?: Attributes;
  readonly links?: Link[];
}

/** Runs `work` inside a span, which ends with it and records what it throws. */
export function withSpan<T>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const { traceparent, ...rest } = options;
  return tracer.startActiveSpan(name, rest, contextOf(traceparent), async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.recordException(error as Error);
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Lets contexts follow asynchronous calls in this process; a second call changes nothing. */
export const carryTraces = (): void =>
  void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

/** Runs `work` as the beginning of a new trace: what a person asks for in one go is one trace. */
export function inNewTrace<T>(work: () => Promise<T>): Promise<T> {
  carryTraces();
  return context.with(contextOf(newTraceparent()), work);
}
