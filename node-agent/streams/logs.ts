import type { Opened } from '../../lib/bus/streams/serve.ts';
import type { LogsRequest } from '../../lib/bus/streams/requests.ts';
import { containerNameIn } from '../../lib/api/container-choice.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { ApiError } from '../../lib/base/errors.ts';
import type { PodContainer } from '../labels.ts';
import type { ContainerRuntime, LogOptions } from '../runtime/runtime.ts';
import { LogEntries, parsePosition, positionText, type LogPosition } from './log-entries.ts';
import { livesOf, notStarted, type StreamPod } from './target.ts';

interface Parts {
  readonly runtime: Pick<ContainerRuntime, 'logs'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The output of a container, as far as the engine keeps it. */
export function openLogs(pod: StreamPod, request: LogsRequest, parts: Parts): Opened {
  const options = logOptions(request, parts.clock.now());
  const at = request.after === undefined ? undefined : positionIn(request);
  const later = at === undefined ? [] : livesFrom(pod, request, at);
  const lives = later.length > 0 ? later : [lifeOf(pod, request)];
  const newest = lives.at(-1);
  // Who follows may be cut off, and wants to go on.
  const hasPositions = request.follow === true || at !== undefined;
  return {
    async run(stream) {
      let left = request.limitBytes ?? Infinity;
      for (const life of lives) {
        const from = at?.attempt === life.attempt ? at : undefined;
        const wish = { ...options, follow: request.follow === true && life === newest };
        const pieces = hasPositions ? placed(life, wish, from, parts) : plain(life, wish, parts);
        for await (const { data, position } of pieces) {
          if (data.length > 0) await stream.send('stdout', data.subarray(0, Math.min(data.length, left)));
          left -= data.length;
          if (left <= 0) return {};
          if (position !== undefined) await stream.send('position', Buffer.from(positionText(position)));
        }
      }
      return {};
    },
  };
}

interface LogPiece {
  readonly data: Uint8Array;
  readonly position?: LogPosition;
}

async function* plain(life: PodContainer, wish: LogOptions, { runtime, signal }: Parts): AsyncIterable<LogPiece> {
  for await (const data of runtime.logs(life.is.id, wish, signal)) yield { data };
}

/** With positions: the engine is asked for times for that. `from` is of this life. */
async function* placed(
  life: PodContainer,
  wish: LogOptions,
  from: LogPosition | undefined,
  { runtime, signal }: Parts,
): AsyncIterable<LogPiece> {
  const entries = new LogEntries(life.attempt, wish.timestamps === true, from);
  yield { data: nothing, position: entries.position }; // also where nothing is written for long
  const since = from === undefined || from.time === '' ? {} : { since: engineTime(from.time) };
  for await (const chunk of runtime.logs(life.is.id, { ...wish, ...since, timestamps: true }, signal))
    yield { data: entries.push(chunk), position: entries.position };
}

const nothing = new Uint8Array();

/** BadRequest. */
function positionIn({ after = '', previous, tailLines, sinceSeconds, sinceTime }: LogsRequest): LogPosition {
  if (previous === true || tailLines !== undefined || sinceSeconds !== undefined || sinceTime !== undefined)
    throw new ApiError(
      'BadRequest',
      'after says where to begin: leave out previous, tailLines, sinceSeconds and sinceTime',
    );
  const position = parsePosition(after);
  if (position !== undefined) return position;
  throw new ApiError('BadRequest', `after ${JSON.stringify(after)} is not a position that was told before`);
}

/** The life of a position and those after it, as far as they are kept; the oldest first. */
function livesFrom(pod: StreamPod, request: LogsRequest, { attempt }: LogPosition): readonly PodContainer[] {
  return livesOf(pod, request)
    .filter((life) => life.attempt >= attempt)
    .toReversed();
}

/** What to ask of the engine. BadRequest for a wish that contradicts itself or is out of range. */
export function logOptions(request: LogsRequest, nowMs: number): LogOptions {
  const { tailLines, sinceSeconds, sinceTime, limitBytes } = request;
  for (const [name, value, least] of [
    ['tailLines', tailLines, 0],
    ['sinceSeconds', sinceSeconds, 1],
    ['limitBytes', limitBytes, 1],
  ] as const) {
    if (value !== undefined && (!Number.isInteger(value) || value < least))
      throw new ApiError('BadRequest', `${name} ${value} must be a whole number of ${least} or more`);
  }
  if (sinceSeconds !== undefined && sinceTime !== undefined)
    throw new ApiError('BadRequest', 'sinceSeconds and sinceTime say the same thing: give one of them');
  const since =
    sinceTime !== undefined
      ? engineTime(sinceTime)
      : sinceSeconds !== undefined
        ? String(Math.floor(nowMs / 1000 - sinceSeconds))
        : undefined;
  return {
    follow: request.follow ?? false,
    timestamps: request.timestamps ?? false,
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(since === undefined ? {} : { since }),
  };
}

/** RFC 3339 as seconds since 1970 with all nine digits after the point. BadRequest. */
export function engineTime(text: string): string {
  const parts = /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  const [, moment = '', fraction = '', zone = ''] = parts ?? [];
  const ms = Date.parse(`${moment}${zone}`.toUpperCase());
  if (parts === null || Number.isNaN(ms) || ms < 0)
    throw new ApiError('BadRequest', `sinceTime "${text}" must be a time such as 2026-01-31T12:00:00Z`);
  return `${ms / 1000}.${fraction.padEnd(9, '0')}`;
}

/** The newest life that was started, or with `previous` the one before the present one. */
function lifeOf(pod: StreamPod, request: LogsRequest): PodContainer {
  const name = containerNameIn(pod.pod, request.container);
  const lives = livesOf(pod, request);
  if (request.previous !== true) {
    if (lives[0] !== undefined) return lives[0];
    throw notStarted(pod, name);
  }
  // While it waits to be started again, the life that ended last is the one before the next.
  const { containerStatuses = [], initContainerStatuses = [] } = pod.pod.status;
  const status = [...containerStatuses, ...initContainerStatuses].find((candidate) => candidate.name === name);
  const waits = lives[0]?.is.state === 'exited' && status?.state?.waiting !== undefined;
  const found = lives[waits ? 0 : 1];
  if (found !== undefined) return found;
  throw new ApiError(
    'BadRequest',
    `there is no run of container "${name}" of pod "${pod.key}" before this one: it has not been restarted, or its last run was cleared away`,
  );
}
