// An app that `npm create vite` made: behind Sealgate with hot reload, on the origin that the login works on, and then
// built, under the strict policy.
//
//   node dev.mjs '{"origin","chromium","artifacts"}', and for the dev server also
//                '{"file":"path of src/App.jsx","component":"what it shall be"}'
import { writeFileSync } from 'node:fs';
import { assert, equal, run, signIn, violations } from './scenario.mjs';

const options = { name: 'dev', ...JSON.parse(process.argv[2]) };

await run(options, [], async ({ page, watch, shot }) => {
  const patience = { timeout: 60_000 };
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(`${options.origin}/`);

  if (options.file) {
    await page.getByRole('heading', { name: 'Get started' }).waitFor(patience);
    assert(sockets.some((url) => url.startsWith(options.origin.replace('http', 'ws'))), `hot reload on our origin: ${sockets}`);
    await page.evaluate(() => { window.sameDocument = true; });
    writeFileSync(options.file, options.component);
  }
  await page.getByRole('link', { name: 'Sign in' }).waitFor(patience);
  if (options.file) equal(await page.evaluate(() => window.sameDocument), true, 'the component comes without a page load');

  await page.getByRole('link', { name: 'Sign in' }).click();
  await signIn(page, 'ada', 'lovelace');
  await page.getByText('Hello, Ada Lovelace').waitFor(patience);
  await shot(`${options.name}-signed-in`);
  if (options.file) {
    await page.evaluate(() => { window.sameDocument = true; });
    writeFileSync(options.file, options.component.replace('Hello', 'Welcome'));
    await page.getByText('Welcome, Ada Lovelace').waitFor(patience);
    equal(await page.evaluate(() => window.sameDocument), true, 'a change comes without a page load');
    writeFileSync(options.file, options.component);
    await page.getByText('Hello, Ada Lovelace').waitFor(patience);
  }
  equal((await violations(page)).join('\n'), '', 'nothing of the app is refused');

  await page.getByRole('link', { name: 'Sign out' }).click();
  await page.click('button[type=submit]');
  await page.getByRole('link', { name: 'Sign in' }).waitFor(patience);
  equal((await violations(page)).join('\n'), '', 'still nothing of the app is refused');
  equal(watch.problems().filter((problem) => problem.startsWith('page error')).join('\n'), '', 'errors of the page');
});
