// Front ends that were written for other products, as they are: `tests/apps/`.
//
//   node compat.mjs '{"app": "easy-auth" | "duende", "origin","chromium","artifacts"}'
import { assert, equal, run, showsNoToken, violations } from './scenario.mjs';

const options = JSON.parse(process.argv[2]);
options.name = `compat-${options.app}`;
const { origin } = options;

const shows = (page, selector, text) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent === text, [selector, text]);

// The provider's own question, and its button.
async function confirmLogout(page) {
  await page.waitForURL((url) => url.origin !== origin);
  await page.click('button[value=yes]');
}

async function easyAuth({ page, watch, shot }) {
  await page.goto(`${origin}/orders?page=2`);
  equal(page.url(), `${origin}/orders?page=2`, 'through the login and back');
  equal(await page.textContent('#server'), 'ada@example.test', 'the page, as the server renders it');
  await shows(page, '#me', 'aad ada@example.test Ada Lovelace');
  await shows(page, '#api', 'ada@example.test');
  await shot('compat-easy-auth');
  await showsNoToken(page);
  equal(await page.evaluate(() => window.refreshTokens()), true, '/.auth/refresh');
  await page.click('#order');
  await page.waitForURL(`${origin}/orders?placed=1`);
  await page.click('#sign-in');
  await page.waitForURL(`${origin}/orders`);
  await page.click('#sign-out');
  await confirmLogout(page);
  await page.waitForURL(`${origin}/goodbye`);
  equal(await page.textContent('h1'), 'Goodbye', 'nobody is signed in');
  equal((await watch.leaks()).join('\n'), '', 'no token reached the page');
}

async function duende({ page, watch, shot }) {
  await page.goto(origin);
  await shows(page, '#user', `anonymous ${options.anonymous}`);
  await page.click('#silently');
  await shows(page, '#silent', 'silent false');
  await page.click('#login');
  await page.waitForURL(`${origin}/board`);
  await shows(page, '#user', 'ada Ada Lovelace engineers');
  await shows(page, '#session', 'number');
  await shows(page, '#todos', 'todos 200');
  await shot('compat-duende');
  for (const address of ['/bff/login?prompt=none', '/bff/silent-login']) {
    await page.goto(origin);
    await shows(page, '#todos', 'todos 200');
    await page.evaluate((address) => { window.silentLogin = address; }, address);
    await page.click('#silently');
    // The provider's cookies are lax and it is on another site: a frame learns that it would have to ask.
    await shows(page, '#silent', 'silent false');
  }
  equal((await violations(page)).join('\n'), '', 'nothing that the policy refuses');
  await showsNoToken(page);
  await page.click('#logout');
  await confirmLogout(page);
  await page.waitForURL(`${origin}/logged-out`);
  await shows(page, '#user', `anonymous ${options.anonymous}`);
  equal((await watch.leaks()).join('\n'), '', 'no token reached the page');
}

const scenarios = { 'easy-auth': easyAuth, duende };
assert(scenarios[options.app], 'a known app');
await run(options, [], scenarios[options.app]);
