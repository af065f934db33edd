// What both scenarios share: a real Chromium, and a watch over everything that the app's origin sends to it.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const JWT = /eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*/;

// Runs `scenario({ page, context, watch, shot })` and ends the process with 0 or 1.
export async function run(options, flags, scenario) {
  const browser = await chromium.launch({ executablePath: options.chromium, headless: true, args: [...FLAGS, ...flags] });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1100, height: 800 } });
  context.setDefaultTimeout(20_000);
  await context.addInitScript(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => window.violations.push(`${effectiveDirective}: ${blockedURI}`));
  });
  const page = await context.newPage();
  const watch = watchOrigin(context, options.origin);
  mkdirSync(options.artifacts, { recursive: true });
  const shot = (name) => page.screenshot({ path: join(options.artifacts, `${name}.png`), fullPage: true });
  try {
    await scenario({ page, context, watch, shot });
    await watch.settled();
  } catch (error) {
    await shot(`${options.name}-failed`).catch(() => {});
    console.error(error.stack);
    console.error(`at ${page.url()}\n${watch.problems().join('\n')}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

// Keeps every body and field that came from `origin`.
function watchOrigin(context, origin) {
  const pending = [];
  const seen = []; // { where, text }
  const problems = [];
  context.on('requestfinished', (request) => {
    if (new URL(request.url()).origin === origin) pending.push(keep(request));
  });
  context.on('weberror', (error) => problems.push(`page error: ${error.error()}`));
  context.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });

  async function keep(request) {
    const response = await request.response();
    const where = `${request.method()} ${new URL(request.url()).pathname} ${response.status()}`;
    const fields = (await response.headersArray()).filter(({ name }) => !['location', 'set-cookie'].includes(name.toLowerCase()));
    seen.push({ where, text: JSON.stringify(fields) });
    // Redirects have no body that a browser would show, and what belongs to a page that was left is gone.
    const body = await Promise.race([response.text().catch(() => ''), new Promise((resolve) => setTimeout(resolve, 3_000, ''))]);
    seen.push({ where, text: body });
  }

  return {
    problems: () => problems,
    settled: async () => { await Promise.all(pending); },
    // Every place where a token was seen: by its shape, or by its very text.
    leaks: async (tokens = []) => {
      await Promise.all(pending);
      assert(seen.length > 0, 'the watch saw responses');
      return seen.filter(({ text }) => JWT.test(text) || tokens.some((token) => text.includes(token))).map(({ where }) => where);
    },
  };
}

// Everything that a script of the page can read and keep.
export async function readableByScripts(page) {
  return page.evaluate(() => JSON.stringify({
    cookie: document.cookie,
    localStorage: { ...localStorage },
    sessionStorage: { ...sessionStorage },
    source: document.documentElement.outerHTML,
    url: location.href,
  }));
}

export async function showsNoToken(page, tokens = []) {
  const readable = await readableByScripts(page);
  assert(!JWT.test(readable), `a token is readable by scripts: ${JWT.exec(readable)}`);
  for (const token of tokens) assert(!readable.includes(token), 'a token is readable by scripts');
}

// What the page's security policy has refused since the page was loaded.
export async function violations(page) {
  return page.evaluate(() => window.violations);
}

export async function signIn(page, name, password) {
  await page.fill('input[name=username]', name);
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
}

export function assert(condition, message) {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

export function equal(actual, expected, message) {
  assert(actual === expected, `${message}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}
