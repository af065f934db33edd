// A folder of files that nginx serves and Sealgate guards (`deploy/forward-auth/nginx.conf`, with `root`).
//
//   node folder.mjs '{"origin":"https://app.example.com:…","chromium","artifacts","provider":"http://localhost:…"}'
import { assert, equal, run, signIn } from './scenario.mjs';

const options = { name: 'folder', ...JSON.parse(process.argv[2]) };
const host = new URL(options.origin).hostname;
const flags = [`--host-resolver-rules=MAP ${host} 127.0.0.1`, '--ignore-certificate-errors'];
const handbook = `${options.origin}/handbook/?chapter=2#welcome`;

await run(options, flags, async ({ page, shot }) => {
  // Neither a page nor what belongs to it is shown to strangers.
  await page.goto(`${options.origin}/handbook/style.css`);
  assert(page.url().startsWith(options.provider), `not the file: ${page.url()}`);
  await page.goto(handbook);
  assert(page.url().startsWith(options.provider), `the provider asks who it is: ${page.url()}`);
  await signIn(page, 'ada', 'lovelace');
  await page.waitForURL((url) => url.origin === options.origin && url.pathname === '/handbook/' && url.search === '?chapter=2');

  // The page, its style and its picture come from the folder.
  equal(await page.textContent('h1'), 'For us alone', 'the page');
  equal(await page.evaluate(() => getComputedStyle(document.querySelector('h1')).color), 'rgb(0, 0, 128)', 'its style');
  await page.waitForFunction(() => document.querySelector('img').naturalWidth > 0);
  await shot('folder-1-signed-in');
  await page.click('a');
  await page.waitForURL(`${options.origin}/handbook/rules.html`);
  equal(await page.textContent('h1'), 'Rules', 'a link within it');

  // Signed out, the same page asks for a login.
  const user = await page.evaluate(async () => (await fetch('/bff/user', { headers: { 'X-CSRF': '1' } })).json());
  equal(user.sub, 'ada', 'who is signed in');
  await page.goto(`${options.origin}${user['bff:logout_url']}`);
  await page.click('button[type=submit]');
  await page.waitForURL((url) => url.origin !== options.origin || url.pathname === '/');
  await page.goto(`${options.origin}/handbook/rules.html`);
  assert(page.url().startsWith(options.provider), 'the next page asks for a login');
  await shot('folder-2-signed-out');
});
