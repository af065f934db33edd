// An application that nginx forwards to itself, and that Sealgate guards (`deploy/forward-auth/nginx.conf`).
//
//   node forward.mjs '{"origin":"https://app.example.com:…","chromium","artifacts","provider":"http://localhost:…"}'
import { assert, equal, run, showsNoToken, signIn } from './scenario.mjs';

const options = { name: 'forward', ...JSON.parse(process.argv[2]) };
const host = new URL(options.origin).hostname;
const flags = [`--host-resolver-rules=MAP ${host} 127.0.0.1`, '--ignore-certificate-errors'];
const deep = `${options.origin}/wiki/echo?page=2&q=a%2Fb%26c`;

await run(options, flags, async ({ page, context, watch, shot }) => {
  const cookies = async () => Object.fromEntries((await context.cookies(options.origin)).map((cookie) => [cookie.name, cookie]));
  const control = async (path) => (await fetch(`${options.provider.replace('localhost', '127.0.0.1')}/__test/${path}`)).json();
  const tokens = async () => (await control('issued')).map(({ value }) => value).filter((value) => value.length > 20);
  const fetched = (path, init = {}) => page.evaluate(async ([path, init]) => {
    const response = await fetch(path, init);
    return { status: response.status, fields: [...response.headers], body: await response.text() };
  }, [path, init]);
  // What the application saw; the page is its answer.
  const seen = async () => {
    const { target, headers } = JSON.parse(await page.evaluate(() => document.body.innerText));
    return { target, fields: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])) };
  };

  // A deep link, as it stands in a mail: the login, and back to it.
  await page.goto(deep);
  assert(page.url().startsWith(options.provider), `the provider asks who it is: ${page.url()}`);
  await signIn(page, 'ada', 'lovelace');
  await page.waitForURL(deep);
  let { target, fields } = await seen();
  equal(target, '/wiki/echo?page=2&q=a%2Fb%26c', 'path and query');
  equal(fields['x-user'], 'ada', 'the application knows the user');
  assert(fields.authorization.startsWith('Bearer '), 'and has the access token');
  equal(fields.cookie, undefined, 'but none of our cookies');
  await shot('forward-1-signed-in');
  const session = (await cookies())['__Host-sealgate'];
  assert(session.secure && session.httpOnly && session.sameSite === 'Lax', 'the session cookie');

  // A link on another site leads straight to the page.
  await page.goto(`${options.provider}/.well-known/openid-configuration`);
  await page.evaluate((url) => {
    document.body.innerHTML = `<a href="${url}">there</a>`;
  }, deep);
  await page.click('a');
  await page.waitForURL(deep);
  // Another site's form does not pass.
  await page.goto(`${options.provider}/.well-known/openid-configuration`);
  await page.evaluate((url) => {
    document.body.innerHTML = `<form method="post" action="${url}"><button>send</button></form>`;
  }, deep);
  const [forged] = await Promise.all([page.waitForResponse((response) => response.request().method() === 'POST'), page.click('button')]);
  equal(forged.status(), 403, 'a forged form');

  // The application's own form, without any header of ours, does.
  await page.goto(deep);
  await page.evaluate(() => {
    document.body.innerHTML = '<form method="post" action="/form/echo"><input name="a" value="b"><button>send</button></form>';
  });
  await page.click('button');
  await page.waitForURL(`${options.origin}/form/echo`);
  equal((await seen()).fields['x-user'], 'ada', 'its form');

  // A page can ask what it likes: it learns nothing.
  await page.goto(`${options.origin}/status/200`);
  for (const path of ['/bff/auth', '/bff/auth/wiki', '/sealgate-auth']) {
    const headers = { 'X-CSRF': '1', 'X-Original-Method': 'GET', 'X-Original-URI': '/', 'X-Sealgate-Secret': 'guessed' };
    const reply = await fetched(path, { headers });
    assert([403, 404].includes(reply.status), `${path}: ${reply.status}`);
    const told = JSON.stringify(reply);
    for (const token of await tokens()) assert(!told.includes(token), `${path} shows a token`);
    assert(!reply.fields.some(([name]) => name === 'x-user' || name.startsWith('x-sealgate')), `${path}: ${told}`);
  }

  // The access token comes to its end: a question has it refreshed, and the page's answer brings the new cookie.
  const before = (await cookies())['__Host-sealgate'].value;
  const deadline = Date.now() + 60_000;
  while ((await cookies())['__Host-sealgate'].value === before) {
    assert(Date.now() < deadline, 'the session is refreshed');
    await page.goto(`${options.origin}/status/200`);
  }
  equal(await page.evaluate(() => document.cookie), '', 'scripts see no cookie but their own');
  await showsNoToken(page);

  const user = await fetched('/bff/user', { headers: { 'X-CSRF': '1' } });
  equal(user.status, 200, 'the page can ask who is signed in');
  await page.goto(`${options.origin}${JSON.parse(user.body)['bff:logout_url']}`);
  await page.click('button[type=submit]');
  // The provider leads back to the application, which leads to the login.
  await page.waitForURL((url) => url.origin !== options.origin || url.pathname === '/');
  equal((await cookies())['__Host-sealgate'], undefined, 'the session cookie is gone');
  await page.goto(deep);
  assert(page.url().startsWith(options.provider), 'the next page asks for a login');
  await shot('forward-2-signed-out');
});
