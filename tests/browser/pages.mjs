// The pages that people see: no finding of axe-core, at phone and desktop width, light and dark, in both languages.
//
//   node pages.mjs '{"origin","provider","providerDown":"origin of a Sealgate without its provider","chromium","artifacts"}'
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
  { name: 'not-found', path: '/bff/nothing', status: 404 },
  { name: 'not-signed-in', path: '/page/x', status: 401 },
  { name: 'cookies-too-large', path: '/', status: 431, cookies: 5 },
  { name: 'provider-unavailable', path: '/bff/login', status: 503, down: true },
];
// The provider's refusal of a login that this browser has begun.
async function refusedCallback(context) {
  const headers = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  const begun = await context.request.get(`${options.origin}/bff/login`, { headers, maxRedirects: 0 });
  const state = new URL(begun.headers().location).searchParams.get('state');
  return `/bff/callback?error=access_denied&state=${state}&iss=${encodeURIComponent(options.provider)}`;
}

const SIZES = { phone: { width: 375, height: 667 }, desktop: { width: 1280, height: 800 } };

await run(options, [], async ({ page: first }) => {
  const browser = first.context().browser();
  for (const colorScheme of ['light', 'dark']) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const locale of ['en', 'de-AT']) {
        // axe is a script, and the pages let none run: it goes around the policy, which is looked at elsewhere.
        const context = await browser.newContext({ viewport, colorScheme, locale, bypassCSP: true });
        for (const { name, path, status, cookies = 0, down } of PAGES) {
          const origin = down ? options.providerDown : options.origin;
          const page = await context.newPage();
          await context.addCookies(Array.from({ length: cookies }, (_, index) => ({ name: `other${index}`, value: 'x'.repeat(3_900), url: origin })));
          const where = `${name} (${colorScheme}, ${size}, ${locale})`;
          const address = typeof path === 'string' ? path : await path(context);
          equal((await page.goto(origin + address)).status(), status, where);
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
    }
  }
});
