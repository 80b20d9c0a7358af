import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../../../../lib/base/clock.ts';
import type { Identities } from '../../identity/identities.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Located, Needs } from '../../streams/locate.ts';
import type { NodeStreams } from '../../streams/node-streams.ts';
import type { Caller } from '../caller.ts';
import type { RestMetrics } from '../metrics.ts';

export interface StreamParts {
  readonly registry: Registry;
  readonly identities: Identities;
  readonly streams: NodeStreams;
  readonly clock: Clock;
  readonly fallback?: Caller;
  readonly metrics?: RestMetrics;
}

/** What a stream is asked for. */
export interface Streamed {
  readonly query: URLSearchParams;
  /** The pod, where it is. */
  readonly located: Located;
  /** That both sides have agreed on. */
  readonly protocol: string;
  readonly signal: AbortSignal;
}

/** Brings a caller together with what he asked for, until one of them has enough. Never rejects. */
type Conversation<Link> = (parts: StreamParts, asked: Streamed, link: Link) => Promise<void>;

/** How a subresource is served over connections of one kind. */
export interface Served<Link> {
  /** The best first. */
  readonly protocols: readonly string[];
  readonly run: Conversation<Link>;
}

/** A subresource that is a stream: what it needs of the pod, and how it is served. */
export interface Way {
  readonly needs: Needs;
  readonly overWebSocket: Served<WebSocket>;
  readonly overSpdy: Served<Duplex>;
}
