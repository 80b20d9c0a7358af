import type { LogWish } from '../../../../lib/api/streams.ts';
import { ApiError } from '../../../../lib/base/errors.ts';
import type { Duplex } from '../../../../lib/bus/streams/duplex.ts';
import type { Registry } from '../../registry/registry.ts';
import { locate } from '../../streams/locate.ts';
import type { NodeStreams } from '../../streams/node-streams.ts';
import type { RestReply, RestRequest } from '../message.ts';
import { flag, wholeNumber } from '../query.ts';

interface LogParts {
  readonly registry: Registry;
  readonly streams: NodeStreams;
}

/** What a container has written, as text, and with `follow` what it goes on to write. */
export async function podLog(
  { registry, streams }: LogParts,
  at: { readonly namespace?: string; readonly name: string },
  request: RestRequest,
): Promise<RestReply> {
  const { query, signal } = request;
  const wish = logWishIn(query);
  const asked = { namespace: at.namespace ?? '', pod: at.name, container: query.get('container') ?? '' };
  const needs = { doing: 'read the logs of', inEnded: true, container: true };
  const { node, target } = await locate(registry, asked, needs);
  const stream = await streams.open(node, { verb: 'logs', ...wish, ...target }, signal);
  return { status: 200, type: 'text/plain', body: output(stream), live: true };
}

async function* output(stream: Duplex): AsyncGenerator<Buffer> {
  try {
    for await (const { channel, data } of stream) {
      if (channel === 'stdout' && data !== undefined) yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    }
    await stream.ending;
  } finally {
    stream.reset(new ApiError('Timeout', 'the caller has gone')); // does nothing to a stream that has ended
  }
}

function logWishIn(query: URLSearchParams): LogWish {
  const tailLines = wholeNumber(query, 'tailLines');
  const sinceSeconds = wholeNumber(query, 'sinceSeconds');
  const limitBytes = wholeNumber(query, 'limitBytes');
  const sinceTime = query.get('sinceTime') ?? '';
  if (sinceSeconds !== undefined && sinceTime !== '')
    throw new ApiError('BadRequest', 'sinceSeconds and sinceTime exclude each other');
  return {
    follow: flag(query, 'follow'),
    previous: flag(query, 'previous'),
    timestamps: flag(query, 'timestamps'),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceTime === '' ? {} : { sinceTime }),
  };
}
