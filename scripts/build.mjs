// One bundle per process, so that each loads only what it uses.
import { chmodSync, copyFileSync, readdirSync, existsSync, rmSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const entries = Object.fromEntries(
  [
    ...readdirSync('services').map((name) => [name, `services/${name}/main.ts`]),
    ['node-agent', 'node-agent/main.ts'],
    ['cli', 'cli/main.ts'],
  ].filter(([, file]) => existsSync(file)),
);

rmSync('dist', { recursive: true, force: true });
mkdirSync('dist', { recursive: true });
writeFileSync('dist/package.json', '{ "type": "module" }\n');

// The engine runs this one.
copyFileSync('node-agent/runtime/late-hostname.sh', 'dist/late-hostname.sh');
chmodSync('dist/late-hostname.sh', 0o755);

const started = performance.now();
await build({
  entryPoints: entries,
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  // CommonJS dependencies ask for node's own modules through require.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  // lmdb is native; the span exporter is loaded only where it is configured.
  external: ['lmdb', 'pino-pretty', '@opentelemetry/sdk-trace-base', '@opentelemetry/exporter-trace-otlp-http'],
  plugins: [
    {
      // dockerode can reach a daemon over ssh; we never do, and these two would need a compiler. grpc-js loads .proto files only when asked to.
      name: 'leave-out-ssh',
      setup(builder) {
        builder.onResolve({ filter: /^(ssh2|cpu-features|@grpc\/proto-loader)$/ }, (args) => ({
          path: args.path,
          namespace: 'left-out',
        }));
        builder.onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({
          contents: 'export default {};',
          loader: 'js',
        }));
      },
    },
  ],
});
console.log(
  `built ${Object.keys(entries).join(', ')} into dist/ in ${((performance.now() - started) / 1000).toFixed(1)} s`,
);
