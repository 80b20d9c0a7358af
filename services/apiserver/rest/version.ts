import packageFile from '../../../package.json' with { type: 'json' };

/**
 * The version of Kubernetes whose v1 API is served, as far as it is: clients compare it with what they were made for, and programs one version
 * off do not complain.
 */
const apiLevel = { major: '1', minor: '34' } as const;

/** What `/version` answers. */
export const serverVersion = {
  ...apiLevel,
  gitVersion: `v${apiLevel.major}.${apiLevel.minor}.0+troupe.${packageFile.version}`,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: `node ${process.version}`,
  compiler: 'v8',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
} as const;
