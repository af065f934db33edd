// A deployment behind TLS, where `__Host-` cookies work for real.
//
//   node https.mjs '{"origin":"https://app.example.test:…","chromium","artifacts","provider":"http://localhost:…",
//                    "loginSameSite":"Lax"}'
import { assert, equal, run, showsNoToken, signIn } from './scenario.mjs';

const options = { name: 'https', ...JSON.parse(process.argv[2]) };
const host = new URL(options.origin).hostname;
const flags = [`--host-resolver-rules=MAP ${host} 127.0.0.1`, '--ignore-certificate-errors'];

await run(options, flags, async ({ page, context, watch, shot }) => {
  const api = (path, init = {}) => page.evaluate(async ([path, init]) => {
    const response = await fetch(path, { ...init, headers: { 'X-CSRF': '1' } });
    return { status: response.status, body: await response.text() };
  }, [path, init]);
  const cookies = async () => Object.fromEntries((await context.cookies(options.origin)).map((cookie) => [cookie.name, cookie]));
  const control = async (path) => (await fetch(`${options.provider.replace('localhost', '127.0.0.1')}/__test/${path}`)).json();
  const tokens = async () => (await control('issued')).map(({ value }) => value).filter((value) => value.length > 20);

  await page.goto(`${options.origin}/`);
  equal((await api('/bff/user')).status, 401, 'signed out at first');

  await page.goto(`${options.origin}/bff/login?returnUrl=%2Forders`);
  const transactions = Object.values(await cookies());
  equal(transactions.length, 1, 'one login cookie');
  assert(transactions[0].name.startsWith('__Host-') && transactions[0].secure && transactions[0].httpOnly && transactions[0].sameSite === options.loginSameSite, `the login cookie: ${transactions[0].name} ${transactions[0].sameSite}`);
  await signIn(page, 'ada', 'lovelace');
  await page.waitForURL(`${options.origin}/orders`);
  await shot(`${options.name}-1-signed-in`);

  const signedIn = await cookies();
  const session = signedIn['__Host-sealgate'];
  assert(session, `the session cookie is there: ${Object.keys(signedIn)}`);
  assert(session.secure && session.httpOnly && session.sameSite === 'Strict' && session.path === '/', 'its attributes');
  equal(session.domain, host, 'it belongs to the host alone');
  for (const name of Object.keys(signedIn)) assert(name.startsWith('__Host-') || name === 'sealgate_affinity', `an unexpected cookie ${name}`);

  const user = await api('/bff/user');
  equal(user.status, 200, 'signed in');
  equal(JSON.parse(user.body).sub, 'ada', 'as ada');
  equal((await api('/api/status/200')).status, 200, 'the API answers');
  equal((await api('/bff/refresh', { method: 'POST' })).status, 200, 'refreshed');
  assert((await cookies())['__Host-sealgate'].value !== session.value, 'the refresh sealed a new cookie');
  await showsNoToken(page, await tokens());
  assert(!(await page.evaluate(() => document.cookie)).includes('__Host-sealgate'), 'scripts cannot see it');

  // A page of another site: it can neither read the API nor sign the user out.
  const foreign = await context.newPage();
  await foreign.goto(`${options.provider}/.well-known/openid-configuration`);
  const stolen = await foreign.evaluate(async (url) => {
    try { return (await fetch(url, { credentials: 'include' })).status; } catch { return 'blocked'; }
  }, `${options.origin}/bff/user`);
  equal(stolen, 'blocked', 'cross-site fetch');
  await foreign.goto(`${options.origin}/bff/logout`);
  await foreign.close();
  equal((await api('/bff/user')).status, 200, 'still signed in');

  await page.goto(`${options.origin}${JSON.parse(user.body)['bff:logout_url']}`);
  await page.click('button[type=submit]');
  await page.waitForURL((url) => url.origin === options.origin);
  equal((await cookies())['__Host-sealgate'], undefined, 'the session cookie is gone');
  equal((await api('/bff/user')).status, 401, 'signed out');
  equal((await control('stats')).live.RefreshToken ?? 0, 0, 'live refresh tokens');
  equal((await watch.leaks(await tokens())).join(', '), '', 'responses with tokens');
});
