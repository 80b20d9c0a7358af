import { Channels } from './channels.ts';
import type { Way } from './asked.ts';
import { processNeeds, runProcess, type ProcessCaller, type ProcessInput, type ProcessVerb } from './process.ts';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { expectStreams } from './expect-streams.ts';
import { flag } from '../query.ts';

/** How exec and attach are served: over WebSockets, and over SPDY for clients from before them. */
export const processWay = (verb: ProcessVerb): Way => ({
  needs: processNeeds[verb],
  overWebSocket: {
    protocols: ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
    async run(parts, asked, socket) {
      const channels = new Channels(socket, parts.clock);
      await runProcess(verb, parts, asked, byChannels(channels));
      channels.close();
    },
  },
  overSpdy: {
    protocols: ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io'],
    async run(parts, asked, link) {
      const { query, protocol } = asked;
      const wanted = ['error', ...['stdin', 'stdout', 'stderr'].filter((name) => flag(query, name))];
      if (flag(query, 'tty')) {
        if (wanted.includes('stderr')) wanted.splice(wanted.indexOf('stderr'), 1); // a terminal has one output
        if (protocol !== 'v2.channel.k8s.io') wanted.push('resize');
      }
      const { streams, onStream } = expectStreams(wanted, parts.clock);
      const connection = new SpdyConnection(link, { clock: parts.clock, onStream });
      const opened = await streams(connection.signal);
      if (opened !== undefined) await runProcess(verb, parts, asked, byStreams(opened, connection.signal, protocol));
      await connection.close();
    },
  },
});

/** The channels of a command: what is sent and received on each. */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

const byChannels = (channels: Channels): ProcessCaller => ({
  signal: channels.signal,
  inputs: [inputsIn(channels)],
  output: (to, data) => channels.send(channel[to], data),
  finish: (outcome) => channels.send(channel.error, Buffer.from(JSON.stringify(outcome))),
});

async function* inputsIn(channels: Channels): AsyncGenerator<ProcessInput> {
  for await (const { channel: number, data } of channels.messages()) {
    if (number === channel.stdin) yield { type: 'stdin', data };
    else if (number === channel.resize) yield { type: 'resize', data };
    else if (number === channel.close && data[0] === channel.stdin) yield { type: 'end' };
  }
}

/** Each kind of bytes has its stream. */
function byStreams(streams: ReadonlyMap<string, SpdyStream>, signal: AbortSignal, protocol: string): ProcessCaller {
  const stdin = streams.get('stdin');
  const resize = streams.get('resize');
  return {
    signal,
    inputs: [...(stdin === undefined ? [] : [stdinOf(stdin)]), ...(resize === undefined ? [] : [sizesOf(resize)])],
    output: async (to, data) => streams.get(to)?.send(data),
    async finish(outcome) {
      for (const name of ['stdout', 'stderr']) streams.get(name)?.end();
      const error = streams.get('error');
      // Before the fourth version of the protocol errors were text alone.
      const told = /^v[23]\./.test(protocol) ? (outcome.message ?? '') : JSON.stringify(outcome);
      await error?.send(Buffer.from(told));
      for (const stream of streams.values()) stream.end();
    },
  };
}

async function* stdinOf(stream: SpdyStream): AsyncGenerator<ProcessInput> {
  for await (const data of stream.data()) yield { type: 'stdin', data };
  yield { type: 'end' };
}

/** Sizes follow one another as JSON objects, in pieces of any length. */
async function* sizesOf(stream: SpdyStream): AsyncGenerator<ProcessInput> {
  let text = '';
  for await (const data of stream.data()) {
    text += data.toString('latin1');
    for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}')) {
      yield { type: 'resize', data: Buffer.from(text.slice(0, end + 1)) };
      text = text.slice(end + 1);
    }
    if (text.length > maxSizeBytes) return; // no size is so long
  }
}

const maxSizeBytes = 1024;
