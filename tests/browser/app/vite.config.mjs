import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const client = fileURLToPath(new URL('../../../web/client', import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  logLevel: 'warn',
  resolve: {
    alias: [
      { find: '@sealgate/client/react', replacement: `${client}/react.js` },
      { find: '@sealgate/client', replacement: `${client}/index.js` },
    ],
    // The client's own folder has no React.
    dedupe: ['react'],
  },
});
