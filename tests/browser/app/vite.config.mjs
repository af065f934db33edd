import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const client = fileURLToPath(new URL('../../../web/client', import.meta.url));

export default defineConfig({
  root: process.env.APP_ROOT ?? fileURLToPath(new URL('.', import.meta.url)),
  cacheDir: process.env.APP_CACHE,
  logLevel: 'warn',
  resolve: {
    alias: [
      { find: '@sealgate/client/react', replacement: `${client}/react.js` },
      { find: '@sealgate/client', replacement: `${client}/index.js` },
    ],
    // The client's own folder has no React.
    dedupe: ['react'],
  },
  esbuild: { jsx: 'automatic' },
  server: { host: '127.0.0.1', strictPort: true, fs: { strict: false } },
});
