// The pages that people see: no finding of axe-core, at phone and desktop width, light and dark, in both languages.
//
//   node pages.mjs '{"origin","provider","providerDown","upstreamDown","withoutLogout","withReturn","compat","chromium","artifacts"}',
//   where the last five are origins of Sealgates of whose surroundings something is missing, wrong or another's
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { assert, equal, run } from './scenario.mjs';

const options = { name: 'pages', ...JSON.parse(process.argv[2]) };
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const PAGES = [
  { name: 'login-not-found', path: '/bff/callback?state=unknown&code=x', status: 400 },
  { name: 'invalid-return-url', path: '/bff/login?returnUrl=//evil.example', status: 400 },
  { name: 'login-refused', status: 403, path: refusedCallback },
  { name: 'logout-not-found', path: '/bff/logged-out', status: 400 },
  { name: 'login-not-allowed', path: '/bff/login?login_hint=outsider', status: 403 },
  { name: 'login-failed', path: '/bff/login', status: 502, origin: options.upstreamDown },
  { name: 'session-too-large', path: '/bff/login?login_hint=huge', status: 500 },
  { name: 'signed-in-already', path: finishedCallback, status: 400 },
  { name: 'signed-out-here', path: logoutLink, status: 200, origin: options.withoutLogout },
  { name: 'signed-out', path: returnFromLogout, status: 200, origin: options.withReturn },
  { name: 'signed-in', path: '/.auth/login/done', status: 200, origin: options.compat },
  { name: 'sign-out-asked', path: typedLogout, status: 200, origin: options.compat },
  { name: 'not-found', path: '/bff/nothing', status: 404 },
  { name: 'not-signed-in', path: '/page/x', status: 401 },
  { name: 'cookies-too-large', path: '/', status: 431, cookies: 5 },
  { name: 'provider-unavailable', path: '/bff/login', status: 503, origin: options.providerDown },
  { name: 'upstream-unreachable', path: '/public/x', status: 502, origin: options.upstreamDown },
];

// The provider's refusal of a login that this browser has begun.
async function refusedCallback({ context, origin }) {
  const headers = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  const begun = await context.request.get(`${origin}/bff/login`, { headers, maxRedirects: 0 });
  const state = new URL(begun.headers().location).searchParams.get('state');
  return `/bff/callback?error=access_denied&state=${state}&iss=${encodeURIComponent(options.provider)}`;
}

// The back button, after a login.
async function finishedCallback({ page, origin }) {
  await page.goto(`${origin}/bff/login`);
  return '/bff/callback?state=finished&code=x';
}

async function logoutLink({ page, origin }) {
  await page.goto(`${origin}/bff/login`);
  const user = await page.evaluate(async () => (await fetch('/bff/user', { headers: { 'X-CSRF': '1' } })).json());
  return user['bff:logout_url'];
}

// As nobody's link: the address bar.
async function typedLogout({ page, origin }) {
  await page.goto(`${origin}/.auth/login/oidc`);
  await page.waitForURL(`${origin}/.auth/login/done`);
  return '/.auth/logout';
}

// The address to which the provider leads back from a logout.
async function returnFromLogout({ page, origin }) {
  await page.goto(origin + await logoutLink({ page, origin }));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(`${origin}/**`);
  return page.url().slice(origin.length);
}

const SIZES = { phone: { width: 375, height: 667 }, desktop: { width: 1280, height: 800 } };

await run(options, [], async ({ page: first }) => {
  const browser = first.context().browser();
  for (const colorScheme of ['light', 'dark']) {
    await Promise.all(Object.entries(SIZES).map(async ([size, viewport]) => {
      for (const locale of ['en', 'de-AT']) {
        // axe is a script, and the pages let none run: it goes around the policy, which is looked at elsewhere.
        const context = await browser.newContext({ viewport, colorScheme, locale, bypassCSP: true });
        for (const { name, path, status, cookies = 0, origin = options.origin } of PAGES) {
          const page = await context.newPage();
          await context.addCookies(Array.from({ length: cookies }, (_, index) => ({ name: `other${index}`, value: 'x'.repeat(3_900), url: origin })));
          const where = `${name} (${colorScheme}, ${size}, ${locale})`;
          const address = typeof path === 'string' ? path : await path({ context, page, origin });
          // It goes on by itself, before anybody could look: an answer without content leaves it where it is.
          if (name === 'signed-in-already') await page.route(`${origin}/`, (route) => route.fulfill({ status: 204 }));
          equal((await page.goto(origin + address)).status(), status, where);
          const text = await page.textContent('main');
          assert(!/[{}]/.test(text), `${where} has a value without a name: ${text}`);
          equal(await page.getAttribute('html', 'lang'), locale.slice(0, 2), where);
          const { wide, dark } = await page.evaluate(() => ({
            wide: document.documentElement.scrollWidth > innerWidth,
            dark: getComputedStyle(document.body).backgroundColor,
          }));
          assert(!wide, `${where} scrolls sideways`);
          const [red] = dark.match(/\d+/g).map(Number);
          equal(red < 128, colorScheme === 'dark', `${where} has its colours`);
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => window.axe.run());
          equal(violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html)}`).join('\n'), '', where);
          await page.screenshot({ path: join(options.artifacts, `page-${name}-${colorScheme}-${size}-${locale.slice(0, 2)}.png`) });
          await context.clearCookies();
          await page.close();
        }
        await context.close();
      }
    }));
  }
});
