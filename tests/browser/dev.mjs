// Vite's dev server behind Sealgate: the app with hot reload, on the origin that the login works on.
//
//   node dev.mjs '{"origin","chromium","artifacts","message":"path of a module to change"}'
import { readFileSync, writeFileSync } from 'node:fs';
import { assert, equal, run, signIn, violations } from './scenario.mjs';

const options = { name: 'dev', ...JSON.parse(process.argv[2]) };

await run(options, [], async ({ page }) => {
  const shows = (selector, expected) => page.waitForFunction(
    ([selector, expected]) => document.querySelector(selector)?.textContent === expected,
    [selector, expected],
    { timeout: 60_000 },
  );
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(`${options.origin}/orders`);
  await shows('#user', 'nobody');
  await page.click('#sign-in');
  await signIn(page, 'ada', 'lovelace');
  await shows('#user', 'ada');
  await shows('#message', 'Built with Vite');
  assert(sockets.some((url) => url.startsWith(options.origin.replace('http', 'ws'))), `hot reload on our origin: ${sockets}`);

  await page.evaluate(() => { window.sameDocument = true; });
  writeFileSync(options.message, readFileSync(options.message, 'utf8').replace('Built with Vite', 'Changed while it runs'));
  await shows('#message', 'Changed while it runs');
  equal(await page.evaluate(() => window.sameDocument), true, 'without a page load');
  equal((await violations(page)).join('\n'), '', 'nothing of the dev server is refused');
});
