/** The layers of docs/lifecycle.md: proto <- lib/base <- lib/api <- {bus, client} <- view <- controller <- services, node-agent, cli. */
const below = (from, ...to) => ({
  name: `${from.replace(/[^a-z]+/g, '-')}-looks-down`,
  severity: 'error',
  comment: `${from} may import only from ${['itself', ...to].join(', ')}`,
  from: { path: `^${from}/` },
  to: {
    path: '^(lib|services|node-agent|cli|test|bench|examples)/',
    pathNot: [`^${from}/`, ...to.map((t) => `^${t}/`)],
  },
});
const lib = [
  'lib/base',
  'lib/api',
  'lib/bus',
  'lib/client',
  'lib/view',
  'lib/controller',
  'lib/rollout',
  'lib/placing',
];
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    below('lib/base'),
    below('lib/api', 'lib/base'),
    below('lib/bus', 'lib/base', 'lib/api'),
    below('lib/client', 'lib/base', 'lib/api'),
    below('lib/view', 'lib/base', 'lib/api', 'lib/bus', 'lib/client'),
    below('lib/controller', 'lib/base', 'lib/api', 'lib/bus', 'lib/client', 'lib/view'),
    below('lib/rollout', 'lib/base', 'lib/api', 'lib/bus', 'lib/client', 'lib/view'),
    below('lib/placing', 'lib/base', 'lib/api', 'lib/view'),
    below('node-agent', ...lib),
    below('cli', ...lib),
    {
      name: 'no-service-to-service',
      severity: 'error',
      comment: 'Services share API objects and events, never code: what two need lives in lib/.',
      from: { path: '^services/([^/]+)/', pathNot: '^services/controller-manager/loops.ts$' },
      to: { path: '^(services|node-agent|cli|test|bench|examples)/', pathNot: '^services/$1/' },
    },
    {
      name: 'hosting',
      severity: 'error',
      comment: 'The process that runs several services knows of each what its own main.ts knows.',
      from: { path: '^services/controller-manager/loops.ts$' },
      to: { path: '^(services|node-agent|cli|test|bench|examples)/', pathNot: '^services/[^/]+/(setup|config).ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'dist' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'] },
  },
};
