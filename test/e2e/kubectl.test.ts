import { whyNoDocker } from '../support/docker-engine.ts';
import { KubectlBed } from './kubectl/bed.ts';
import { autoscalingTopic } from './kubectl/autoscaling.topic.ts';
import { badUpdatesTopic } from './kubectl/bad-updates.topic.ts';
import { batchTopic } from './kubectl/batch.topic.ts';
import { daemonsTopic } from './kubectl/daemons.topic.ts';
import { debuggingTopic } from './kubectl/debugging.topic.ts';
import { documentedTopic } from './kubectl/documented.topic.ts';
import { findingTopic } from './kubectl/finding.topic.ts';
import { helmTopic } from './kubectl/helm.topic.ts';
import { makingTopic } from './kubectl/making.topic.ts';
import { mixingTopic } from './kubectl/mixing.topic.ts';
import { rolloutTopic } from './kubectl/rollout.topic.ts';
import { runningTopic } from './kubectl/running.topic.ts';

const why = whyNoDocker();

/** The real kubectl and helm on a real cluster: all topics share it, each in a namespace of its own. */
describe(`e2e/kubectl${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(120_000);
  const bed = new KubectlBed();
  before(async function () {
    if (why !== undefined) this.skip();
    this.timeout(300_000);
    await bed.start(190);
  });
  after(() => bed.stop());

  findingTopic(bed);
  makingTopic(bed);
  runningTopic(bed);
  batchTopic(bed);
  autoscalingTopic(bed);
  rolloutTopic(bed);
  daemonsTopic(bed);
  badUpdatesTopic(bed);
  mixingTopic(bed);
  documentedTopic(bed);
  debuggingTopic(bed);
  helmTopic(bed);
});
