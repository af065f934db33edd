// `sealgate demo` as a newcomer meets it: sign in, call the API, rotate the keys, wait for a refresh, sign out.
//
//   node demo.mjs '{"origin","chromium","artifacts","rotate":["sealgate","keys","rotate",…],"refreshWithin":seconds}'
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { assert, equal, run, showsNoToken, signIn, violations } from './scenario.mjs';

const options = { name: 'demo', ...JSON.parse(process.argv[2]) };
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = { desktop: { width: 1100, height: 800 }, phone: { width: 375, height: 740 } };

await run(options, [], async ({ page, context, watch }) => {
  const text = async (selector) => (await page.textContent(selector)).trim();
  const number = async (selector) => Number(/\d+/.exec(await text(selector))?.[0] ?? NaN);
  const callApi = async () => {
    const answered = page.waitForResponse((response) => response.url().startsWith(`${options.origin}/api`));
    await page.click('#call-api');
    equal((await answered).status(), 200, 'the API answers');
    await page.waitForFunction(() => document.querySelector('#api-result').textContent.trim().length > 0);
  };
  const countAbove = (before, timeout) => page.waitForFunction(
    (before) => Number(document.querySelector('#refresh-count').textContent) > before,
    before,
    { timeout },
  );
  const session = async () => (await context.cookies(options.origin)).find((cookie) => cookie.name === 'sealgate');

  // In both sizes and colours: the picture, and what axe-core finds.
  const shot = async (name) => {
    for (const colorScheme of ['dark', 'light']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      for (const [size, viewport] of Object.entries(SIZES).reverse()) {
        const where = `${name}-${colorScheme}-${size}`;
        await page.setViewportSize(viewport);
        await page.screenshot({ path: join(options.artifacts, `${where}.png`), fullPage: true });
        assert(!(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)), `${where} scrolls sideways`);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        equal(violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html)}`).join('\n'), '', where);
      }
    }
  };

  await page.goto(`${options.origin}/`);
  await page.waitForSelector('#sign-in', { state: 'visible' });
  await shot('demo-1-signed-out');
  equal((await violations(page)).join('\n'), '', 'the policy refuses nothing of the page');

  await page.click('#sign-in');
  await page.waitForSelector('input[name=username]');
  assert(!page.url().startsWith(options.origin), 'the provider asks, not the app');
  await shot('demo-2-provider');
  await signIn(page, 'ada', 'wrong');
  await page.waitForSelector('[role=alert]');
  await signIn(page, 'ada', 'lovelace');
  await page.waitForSelector('#sign-out', { state: 'visible' });
  assert(page.url().startsWith(`${options.origin}/`), 'back at the app');
  assert((await text('#user-name')).includes('Ada'), 'the user has a name');
  assert((await number('#token-seconds')) > 0, 'the access token lives');
  assert((await number('#cookie-size')) > 100, 'the cookie has a size');
  await callApi();
  await shot('demo-3-signed-in');

  const cookie = await session();
  assert(cookie?.httpOnly && cookie.sameSite === 'Strict' && cookie.path === '/', `the session cookie: ${JSON.stringify({ ...cookie, value: '…' })}`);
  const shownToScripts = await page.evaluate(() => document.cookie);
  assert(!shownToScripts.includes('sealgate='), 'scripts cannot see the session cookie');
  await showsNoToken(page);

  execFileSync(options.rotate[0], options.rotate.slice(1), { stdio: 'pipe' });
  await callApi();
  await page.reload();
  await page.waitForSelector('#sign-out', { state: 'visible' });

  // The page sees a refresh by the lifetime that grows, so some of it has to be gone.
  await page.waitForFunction((most) => Number(document.querySelector('#token-seconds').textContent) <= most, (await number('#token-seconds')) - 5);
  const refreshes = await number('#refresh-count');
  await page.click('#refresh-now');
  await countAbove(refreshes, 20_000);
  const forced = await number('#refresh-count');

  // The API call near the end of the token refreshes it on the way.
  const deadline = Date.now() + options.refreshWithin * 1000;
  while (!(await countAbove(forced, 3_000).then(() => true, () => false))) {
    assert(Date.now() < deadline, `no refresh by itself within ${options.refreshWithin} s`);
    await callApi();
  }
  await callApi();
  assert((await session()).value !== cookie.value, 'the refresh sealed a new cookie');
  await showsNoToken(page);
  await shot('demo-4-refreshed');

  // The browser tells both ways when the policy refuses something: by an event and in its console.
  const refused = () => watch.problems().filter((problem) => /Content.Security.Policy/i.test(problem));
  equal((await violations(page)).join('\n'), '', 'the policy refuses nothing of the page');
  equal(refused().join('\n'), '', 'nor of any page before it');
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.pwned = true';
    document.body.append(script);
  });
  await page.waitForFunction(() => window.violations.length > 0);
  equal(await page.evaluate(() => window.pwned), undefined, 'an inline script that was slipped in does not run');
  equal((await violations(page)).join(), 'script-src-elem: inline', 'the violation that is reported');
  equal(refused().length, 1, `what the console says of it: ${refused()}`);

  await page.click('#sign-out');
  // The provider may ask before it signs out too.
  const confirmation = page.waitForSelector('button[type=submit]', { timeout: 5_000 }).catch(() => null);
  const home = page.waitForSelector('#sign-in', { state: 'visible' }).catch(() => null);
  await Promise.race([confirmation, home]);
  if (!page.url().startsWith(options.origin)) await page.click('button[type=submit]');
  await page.waitForSelector('#sign-in', { state: 'visible' });
  equal(await session(), undefined, 'the session cookie is gone');
  await shot('demo-5-signed-out');

  equal((await watch.leaks()).join(', '), '', 'responses with tokens');
  equal(watch.problems().filter((problem) => problem.startsWith('page error')).join('\n'), '', 'errors of the page');
});
