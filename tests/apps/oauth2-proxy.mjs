// An app that was written for the headers of oauth2-proxy, and knows nothing else.
//
//   node oauth2-proxy.mjs         prints {"port"} once it listens; ends when its standard input closes
//
// Everything in it follows these pages and nothing else:
//   https://oauth2-proxy.github.io/oauth2-proxy/configuration/overview   --pass-user-headers (the default): X-Forwarded-User,
//     X-Forwarded-Groups, X-Forwarded-Email and X-Forwarded-Preferred-Username; --pass-access-token: X-Forwarded-Access-Token
//   https://oauth2-proxy.github.io/oauth2-proxy/configuration/integrations/nginx   X-Auth-Request-User, -Email, -Groups, which
//     nginx hands on under the same names
import { createServer } from 'node:http';

function userOf({ headers }) {
  const one = (name) => headers[`x-forwarded-${name}`] ?? headers[`x-auth-request-${name}`];
  const user = one('user');
  if (!user) return null;
  return {
    user,
    email: one('email'),
    name: one('preferred-username'),
    groups: (one('groups') ?? '').split(',').filter(Boolean),
    accessToken: one('access-token'),
  };
}

const server = createServer((request, response) => {
  const send = (type, body, status = 200) => response.writeHead(status, { 'Content-Type': type }).end(body);
  const { pathname } = new URL(request.url, 'http://app');
  const user = userOf(request);
  if (pathname === '/health') return send('application/json', JSON.stringify({ user, headers: request.headers }));
  if (!user) return send('text/plain', 'this app is never reached without a user', 500);
  if (pathname.startsWith('/api/')) return send('application/json', JSON.stringify({ ...user, method: request.method }));
  if (request.method === 'POST') return response.writeHead(303, { Location: '/?saved=1' }).end();
  send('text/html', `<!doctype html><title>Reports</title><h1>Reports of ${user.email ?? user.user}</h1>
<form method="post" action="/save"><button>Save</button></form>`);
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
