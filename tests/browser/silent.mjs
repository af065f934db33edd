// Silent login as browsers allow it: in a frame by the cookies that the provider's site gets there, with the whole page
// always.
//
//   node silent.mjs '{"origin","sameSite","thirdParty","client":"the client's source","chromium","artifacts"}'
//
// The app is on 127.0.0.1. `origin` has its provider on another site with lax cookies, `sameSite` on its own, and
// `thirdParty` on another one whose cookies are made to be sent from frames.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { FLAGS, assert, equal, run, signIn, violations } from './scenario.mjs';

const options = { name: 'silent', ...JSON.parse(process.argv[2]) };
const client = readFileSync(options.client, 'utf8').replace('export function createClient', 'window.createClient = function createClient');

// A context of its own, signed in at the provider and no longer here.
async function knownToTheProvider(context, origin) {
  await context.addInitScript(`(() => { ${client} })();`);
  await context.addInitScript(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => window.violations.push(`${effectiveDirective}: ${blockedURI}`));
    addEventListener('message', ({ data }) => { window.heard = data; });
  });
  const page = await context.newPage();
  await page.goto(`${origin}/bff/login?returnUrl=/before`);
  await signIn(page, 'ada', 'lovelace');
  await page.waitForURL(`${origin}/before`);
  equal(await signedIn(page), true, 'signed in');
  await context.clearCookies({ name: /^sealgate/ });
  equal(await signedIn(page), false, 'signed out here');
  return page;
}

const signedIn = (page) => page.evaluate(async () => (await fetch('/bff/user', { headers: { 'X-CSRF': '1' } })).ok);
const silently = (page) => page.evaluate(() => window.createClient().silentLogin());
const heard = (page) => page.evaluate(() => JSON.stringify(window.heard));

const refused = '{"source":"bff-silent-login","isLoggedIn":false,"error":"login_required"}';
const accepted = '{"source":"bff-silent-login","isLoggedIn":true}';

// Tells what a frame hears whose provider is at that app's, and that the whole page never depends on it.
async function check(context, name, expected) {
  const origin = options[name];
  const page = await knownToTheProvider(context, origin);
  equal(await silently(page), expected, `in a frame, ${name}: ${await heard(page)}`);
  equal(await heard(page), expected ? accepted : refused, 'the message');
  equal(await signedIn(page), expected, 'and so it is');
  equal(await page.locator('iframe').count(), 0, 'the frame is taken away');
  equal((await violations(page)).join('\n'), '', 'nothing that the policy refuses');

  await context.clearCookies({ name: /^sealgate/ });
  await page.goto(`${origin}/bff/login?prompt=none&returnUrl=/orders%3Fpage%3D2`);
  equal(page.url(), `${origin}/orders?page=2`, 'with the whole page');
  equal(await signedIn(page), true, 'with the whole page, signed in');

  await context.clearCookies();
  await page.goto(`${origin}/bff/login?prompt=none&returnUrl=/orders`);
  equal(page.url(), `${origin}/orders?bff_error=login_required`, 'nobody is known any more');
  equal(await signedIn(page), false, 'nobody');
  equal(await silently(page), false, 'nor in a frame');
  await context.close();
}

// As it comes, Chromium blocks third-party cookies in a context of this kind.
await run(options, [], async ({ page: first }) => {
  for (const [name, expected] of [['origin', false], ['sameSite', true], ['thirdParty', false]]) {
    await check(await first.context().browser().newContext(), name, expected);
  }
});

// One whose user lets them be: only a profile has that setting.
const profile = mkdtempSync(join(tmpdir(), 'profile-'));
mkdirSync(join(profile, 'Default'));
const cookies = { cookie_controls_mode: 0, block_third_party_cookies: false };
writeFileSync(join(profile, 'Default/Preferences'), JSON.stringify({ profile: cookies }));
const tolerant = await chromium.launchPersistentContext(profile, { executablePath: options.chromium, args: FLAGS });
try {
  await check(tolerant, 'thirdParty', true);
} finally {
  await tolerant.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

// Another site frames the page that speaks: the browser shows nothing, and nothing is said.
await run(options, [], async ({ page }) => {
  const said = page.waitForEvent('console', (message) => message.text().includes('frame-ancestors'));
  await page.setContent(`<iframe src="${options.origin}/bff/silent-login?outcome=signed-in"></iframe>`);
  await page.evaluate(() => addEventListener('message', ({ data }) => { window.heard = data; }));
  await said;
  equal(await page.evaluate(() => window.heard), undefined, 'another site hears nothing');
  assert(!page.frames().some((frame) => frame.url().includes('outcome=')), 'the frame is refused');
});
