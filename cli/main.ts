import { inNewTrace } from '../lib/base/trace.ts';
import * as down from './cluster/down.ts';
import * as status from './cluster/status.ts';
import * as up from './cluster/up.ts';
import { processShell } from './process.ts';
import { runTroupe } from './program.ts';

const code = await inNewTrace(() => runTroupe(process.argv.slice(2), processShell(), [up, down, status]));
// Commands of the cluster set their own code. An idle connection must not keep a finished command alive.
process.exit(code === 0 ? (process.exitCode ?? 0) : code);
