import tseslint from 'typescript-eslint';

/** Folders that alone may import a package; everything else goes through their interface. */
const doors = [
  { packages: ['dockerode'], only: 'node-agent/runtime' },
  { packages: ['@nats-io/transport-node', '@nats-io/jetstream', '@nats-io/nats-core'], only: 'lib/bus' },
  { packages: ['lmdb'], only: 'services/apiserver/store' },
];

/** Decision files see only their arguments: no clock, no randomness, no network, no logger. */
const decisions = ['**/reconcile.ts', '**/schedule.ts', '**/zone.ts', '**/table.ts', '**/filters.ts', '**/scores.ts'];

export default tseslint.config(
  {
    ignores: [
      'dist/**',
      'scripts/*.cjs',
      '**/gen/**',
      'coverage/**',
      '*.cjs',
      'bin/**',
      'scripts/*.mjs',
      'examples/**/*.mjs',
    ],
  },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'max-params': 'off',
      '@typescript-eslint/max-params': ['warn', { max: 4 }],
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      'no-restricted-imports': [
        'error',
        {
          paths: doors
            .flatMap((d) => d.packages)
            .map((name) => ({
              name,
              message: "Only its own folder imports this package; use that folder's interface.",
            })),
        },
      ],
      eqeqeq: 'error',
    },
  },
  ...doors.map(({ packages, only }) => ({
    files: [`${only}/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: doors
            .filter((d) => d.only !== only)
            .flatMap((d) => d.packages)
            .filter((p) => !packages.includes(p))
            .map((name) => ({ name })),
        },
      ],
    },
  })),
  {
    files: decisions,
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'A decision takes the time as an argument.' },
        { object: 'Math', property: 'random', message: 'A decision takes its randomness as an argument.' },
        { object: 'process', property: 'env', message: 'A decision takes its configuration as an argument.' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: {
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
    },
  },
  { files: ['**/*.js'], ...tseslint.configs.disableTypeChecked },
);
