// What pages keep open: an event stream and a WebSocket, on session routes.
//
//   node streams.mjs '{"origin":"http://127.0.0.1:…","chromium","artifacts","provider":"http://localhost:…"}'
import { assert, equal, run } from './scenario.mjs';

const options = { name: 'streams', ...JSON.parse(process.argv[2]) };

await run(options, [], async ({ page, context, watch }) => {
  await page.goto(`${options.origin}/bff/login`);
  await page.waitForURL(`${options.origin}/`);
  assert(await page.evaluate(async () => (await fetch('/bff/user', { headers: { 'X-CSRF': '1' } })).ok), 'signed in');

  // EventSource cannot set headers: the route tells our own pages by fetch metadata. The second event is only made after
  // the page has asked for it, and it asks when it has the first.
  const events = await page.evaluate(() => new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource('/stream/events');
    source.onmessage = async ({ data }) => {
      seen.push(data);
      if (seen.length === 2) { source.close(); resolve(seen.join(', ')); }
      else await fetch('/api/release', { headers: { 'X-CSRF': '1' } });
    };
    source.onerror = () => reject(new Error(`the stream failed after ${seen.length} events`));
  }));
  equal(events, 'first, second', 'events');
  const refused = await page.evaluate(() => new Promise((resolve) => {
    const source = new EventSource('/api/events');
    source.onerror = () => { source.close(); resolve(source.readyState === EventSource.CLOSED); };
    source.onmessage = () => resolve(false);
  }));
  assert(refused, 'a route that wants the header is not for EventSource');

  const echoed = await page.evaluate(() => new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${location.host}/api/socket`);
    socket.binaryType = 'arraybuffer';
    window.socket = socket;
    window.socketEnd = new Promise((closed) => { socket.onclose = ({ code }) => closed(code); });
    const seen = [];
    socket.onopen = () => { socket.send('Grüße'); socket.send(new Uint8Array([0, 255, 13, 10]).buffer); };
    socket.onmessage = ({ data }) => {
      seen.push(typeof data === 'string' ? data : [...new Uint8Array(data)].join(' '));
      if (seen.length === 2) resolve(seen.join(', '));
    };
    socket.onerror = () => reject(new Error('the socket failed'));
  }));
  equal(echoed, 'Grüße, 0 255 13 10', 'what the socket says back');
  const told = await page.evaluate(() => new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/api/socket`);
    socket.onopen = () => socket.send('close 4000 enough of that');
    socket.onclose = ({ code, reason, wasClean }) => resolve(`${code} ${reason} ${wasClean}`);
  }));
  equal(told, '4000 enough of that true', "the upstream's close");

  // A page of another origin: same machine, so that its cookies are the same too.
  const foreign = await context.newPage();
  await foreign.goto(`${options.provider}/.well-known/openid-configuration`);
  const stolen = await foreign.evaluate((url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve('open');
    socket.onerror = () => resolve('refused');
  }), `${options.origin.replace('http:', 'ws:')}/api/socket`);
  equal(stolen, 'refused', 'a socket of another origin');
  await foreign.close();

  equal(await page.evaluate(() => window.socket.readyState), 1, 'the first socket is open still');
  const logout = await page.evaluate(async () => (await fetch('/bff/logout', { method: 'POST', headers: { 'X-CSRF': '1' } })).status);
  equal(logout, 200, 'signed out');
  equal(await page.evaluate(() => window.socketEnd), 1006, 'the logout ends the socket');
  equal((await watch.leaks()).join(', '), '', 'responses with tokens');
});
