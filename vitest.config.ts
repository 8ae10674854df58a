import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

const redis = './test/support/redis-global-setup.ts'
// onnxruntime-node reports usage unless this is set before it loads.
const env = { ORT_DISABLE_TELEMETRY: '1' }

export default defineConfig({
  test: {
    // Once for all projects, and outside the workerd project, whose module resolution is not Node's.
    globalSetup: [redis],
    projects: [
      {
        test: {
          name: 'node',
          include: ['{shared,safety,gpu-worker,edge,cli,bench}/**/*.test.ts'],
          exclude: ['**/*.workerd.test.ts', '**/node_modules/**'],
          env,
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest(async ({ inject }) => ({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: {
              bindings: { REDIS_URL: inject('redisUrl'), ADMIN_TOKEN: 'test-admin-token', MIGRATIONS: await readD1Migrations('edge/migrations') },
            },
          })),
        ],
        test: {
          name: 'workerd',
          include: ['edge/**/*.workerd.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**'],
          env,
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
