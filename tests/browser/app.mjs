// An app as Vite builds it, with React and the client, under the strict policy: nothing of it is refused, and nothing
// that somebody slips in runs.
//
//   node app.mjs '{"origin","chromium","artifacts","provider"}'
import { assert, equal, run, showsNoToken, signIn, violations } from './scenario.mjs';

const options = { name: 'app', ...JSON.parse(process.argv[2]) };

await run(options, [], async ({ page, context, watch, shot }) => {
  const text = (selector) => page.textContent(selector);
  const shows = (selector, expected) => page.waitForFunction(
    ([selector, expected]) => document.querySelector(selector)?.textContent === expected,
    [selector, expected],
  );
  const responses = [];
  page.on('response', (response) => responses.push(response));

  await page.goto(`${options.origin}/orders?page=2#last`);
  await shows('#user', 'nobody');
  equal(await text('#message'), 'Built with Vite', 'the app runs');
  equal(await page.evaluate(() => window.inlineOfTheBuild), true, 'the inline script that the build wrote');
  equal(await page.evaluate(() => getComputedStyle(document.querySelector('#user')).color), 'rgb(4, 5, 6)', 'its style sheet');
  await page.click('#load');
  await shows('#more', 'Loaded later');
  equal(await page.evaluate(() => getComputedStyle(document.querySelector('#more')).color), 'rgb(1, 2, 3)', 'a style sheet that came later');

  const document_ = responses.find((response) => response.request().resourceType() === 'document');
  const policy = document_.headers()['content-security-policy'];
  assert(/script-src 'nonce-[\w+/=]+';/.test(policy), `the policy: ${policy}`);
  equal(document_.headers()['cache-control'], 'no-cache', 'the page is asked for each time');
  const assets = responses.filter((response) => response.url().includes('/assets/'));
  assert(assets.length >= 4, `the assets: ${assets.map((response) => response.url())}`);
  for (const asset of assets) {
    equal(asset.headers()['cache-control'], 'public, max-age=31536000, immutable', asset.url());
    equal(asset.headers()['x-content-type-options'], 'nosniff', asset.url());
  }

  // The page is left, and what was asked for is where the login leads back to.
  await page.click('#sign-in');
  await signIn(page, 'ada', 'lovelace');
  await page.waitForURL(`${options.origin}/orders?page=2#last`);
  await shows('#user', 'ada');
  await shot('app-signed-in');
  await showsNoToken(page);
  equal((await violations(page)).join('\n'), '', 'nothing of the app is refused');

  // The client: the header on our own requests alone, one second attempt, the end of the session.
  const calls = [];
  await page.route('**/api/**', (route) => {
    calls.push(route.request().headers()['x-csrf']);
    const refused = { status: 401, contentType: 'application/problem+json', body: '{"type":"urn:sealgate:error:refresh-conflict"}' };
    return calls.length === 1 ? route.fulfill(refused) : route.continue();
  });
  const posted = await page.evaluate(async () => {
    const response = await bff.fetch('/api/status/200', { method: 'POST', body: 'x=1' });
    return response.status;
  });
  equal(posted, 200, 'the second attempt is answered');
  equal(calls.join(), '1,1', 'both attempts have the header');
  calls.length = 0;
  await page.unroute('**/api/**');
  let attempts = 0;
  await page.route('**/api/**', (route) => {
    attempts += 1;
    return route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"type":"urn:sealgate:error:refresh-conflict"}' });
  });
  equal(await page.evaluate(async () => (await bff.fetch('/api/x')).status), 401, 'a conflict that stays');
  equal(attempts, 2, 'no third attempt');
  await page.unroute('**/api/**');
  let foreign;
  await page.route('http://other.example/**', (route) => {
    foreign = route.request().headers();
    return route.fulfill({ status: 200, headers: { 'access-control-allow-origin': '*' }, body: '' });
  });
  await page.evaluate(() => bff.fetch('http://other.example/').catch(() => {}));
  assert(foreign === undefined, 'the policy keeps the app from other sites');

  await page.evaluate(() => { window.ends = 0; bff.onSessionEnd(() => { window.ends += 1; }); });
  // A 401 of the API's own is no end.
  await page.evaluate(() => bff.fetch('/api/status/401'));
  equal(await page.evaluate(() => window.ends), 0, "an upstream's 401 is its own");
  await context.clearCookies({ name: 'sealgate' });
  await page.evaluate(() => Promise.all([bff.fetch('/api/status/200'), bff.fetch('/api/status/200')]));
  equal(await page.evaluate(() => window.ends), 1, 'the end is told once');
  await shows('#user', 'nobody');

  await page.click('#sign-in');
  await page.waitForURL(`${options.origin}/**`);
  await shows('#user', 'ada');
  await page.click('#sign-out');
  await page.click('button[type=submit]');
  await shows('#user', 'nobody');
  const known = (await violations(page)).join('\n');
  equal(known, '', 'still nothing of the app is refused');

  // What an attacker would slip in.
  for (const attack of [
    () => { const script = document.createElement('script'); script.textContent = 'window.pwned = "inline"'; document.body.append(script); },
    () => { document.body.insertAdjacentHTML('beforeend', '<img src="/nowhere.png" onerror="window.pwned = \'handler\'">'); },
    () => { const link = document.createElement('a'); link.href = 'javascript:window.pwned = "link"'; document.body.append(link); link.click(); },
    () => { const script = document.createElement('script'); script.src = '/robots.txt'; document.body.append(script); },
    () => { setTimeout('window.pwned = "text"', 0); },
    () => { const base = document.createElement('base'); base.href = 'http://other.example/'; document.head.append(base); },
  ]) {
    const before = (await violations(page)).length;
    await page.evaluate(attack);
    await page.waitForFunction((before) => window.violations.length > before, before);
  }
  equal(await page.evaluate(() => window.pwned), undefined, 'nothing that was slipped in has run');
  equal((await watch.leaks()).join(', '), '', 'responses with tokens');
});
