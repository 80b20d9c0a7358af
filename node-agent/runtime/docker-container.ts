import type Docker from 'dockerode';
import type { RuntimeContainer } from './runtime.ts';

/** The engine's state of a container in the three words of the seam. */
export const stateOf = (state: string): RuntimeContainer['state'] =>
  state === 'running' || state === 'paused' || state === 'restarting'
    ? 'running'
    : state === 'created'
      ? 'created'
      : 'exited';

/** What engines say themselves where they do not know how a container ended. */
export const unknownExitCode = 255;

/** What an inspection by the engine says. */
export function containerOf(found: Docker.ContainerInspectInfo): RuntimeContainer {
  const { State: state } = found;
  const started = timeOf(state.StartedAt);
  const finished = timeOf(state.FinishedAt);
  const now = stateOf(state.Status);
  // An engine that was killed as it heard of an end says 0 and no time of the end: nobody knows how it ended.
  const isUnknown = now === 'exited' && started !== undefined && finished === undefined;
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    image: found.Config.Image,
    imageId: found.Image,
    labels: found.Config.Labels,
    state: now,
    ...(state.Pid > 0 ? { pid: state.Pid } : {}),
    ...(now === 'exited' || state.Error !== '' ? { exitCode: isUnknown ? unknownExitCode : state.ExitCode } : {}),
    ...(state.OOMKilled ? { oomKilled: true } : {}),
    ...(state.Error === '' ? {} : { error: state.Error }),
    createdAtMs: timeOf(found.Created) ?? 0,
    ...(started === undefined ? {} : { startedAtMs: started }),
    ...(finished === undefined || now === 'running' ? {} : { finishedAtMs: finished }),
  };
}

/** Docker writes the year 1 for "not yet". */
function timeOf(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}
