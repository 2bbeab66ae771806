import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Each file has a server and a browser of its own; at once they would only wait for each other's processor.
    fileParallelism: false,
    expect: { poll: { timeout: 10_000 } },
  },
});
