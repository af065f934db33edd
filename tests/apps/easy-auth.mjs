// An app that was written for Azure App Service authentication, and knows nothing else: pages, their script, an API.
//
//   node easy-auth.mjs            prints {"port"} once it listens; ends when its standard input closes
//
// Everything in it follows these pages and nothing else:
//   https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities   headers, decoding the principal
//   https://learn.microsoft.com/azure/app-service/configure-authentication-oauth-tokens      token headers, /.auth/refresh
//   https://learn.microsoft.com/azure/app-service/configure-authentication-customize-sign-in-out   links, redirects
// It takes unauthenticated requests only at /goodbye ("Allow unauthenticated access"); App Service redirects the rest.
import { createServer } from 'node:http';

// The C# of "Decode the client principal header", in JavaScript.
function principalOf(request) {
  const header = request.headers['x-ms-client-principal'];
  if (!header) return null;
  const principal = JSON.parse(Buffer.from(header, 'base64').toString('utf8'));
  const valuesOf = (type) => principal.claims.filter(({ typ }) => typ === type).map(({ val }) => val);
  return {
    provider: principal.auth_typ,
    name: valuesOf(principal.name_typ)[0],
    roles: valuesOf(principal.role_typ),
    groups: valuesOf('groups'),
    subject: valuesOf('http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier')[0],
  };
}

function whoAmI(request) {
  const { headers } = request;
  return {
    principal: principalOf(request),
    id: headers['x-ms-client-principal-id'],
    name: headers['x-ms-client-principal-name'],
    idp: headers['x-ms-client-principal-idp'],
    accessToken: headers['x-ms-token-aad-access-token'],
    idToken: headers['x-ms-token-aad-id-token'],
    expiresOn: headers['x-ms-token-aad-expires-on'],
    refreshToken: headers['x-ms-token-aad-refresh-token'],
    all: headers,
  };
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>Orders</title>
<h1>Orders</h1>
<p id="server"></p><p id="me"></p><p id="api"></p>
<form method="post" action="/orders"><button id="order">Order</button></form>
<a id="sign-in" href="/.auth/login/aad?post_login_redirect_uri=/orders">Sign in</a>
<a id="sign-out" href="/.auth/logout?post_logout_redirect_uri=%2Fgoodbye">Sign out</a>
<script src="/app.js"></script>`;

const SCRIPT = `
window.refreshTokens = async () => (await fetch('/.auth/refresh')).ok;
(async () => {
  const answer = await fetch('/.auth/me');
  if (!answer.ok) return (document.querySelector('#me').textContent = 'nobody');
  const [me] = await answer.json();
  const name = me.user_claims.find(({ typ }) => typ === 'name');
  document.querySelector('#me').textContent = [me.provider_name, me.user_id, name && name.val].join(' ');
  const order = await fetch('/api/orders', { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } });
  document.querySelector('#api').textContent = (await order.json()).principal.name;
})();`;

const server = createServer((request, response) => {
  const send = (type, body, status = 200) => response.writeHead(status, { 'Content-Type': type }).end(body);
  const { pathname } = new URL(request.url, 'http://app');
  if (pathname === '/api/orders') return send('application/json', JSON.stringify({ principal: principalOf(request) }));
  // For the test alone, which looks at what arrived: no app shows its tokens.
  if (pathname.startsWith('/api/')) return send('application/json', JSON.stringify(whoAmI(request)));
  if (pathname === '/app.js') return send('text/javascript', SCRIPT);
  if (pathname === '/goodbye') return send('text/html', `<h1>Goodbye${principalOf(request) ? '?' : ''}</h1>`);
  if (request.method === 'POST') return response.writeHead(303, { Location: '/orders?placed=1' }).end();
  const { name } = principalOf(request) ?? {};
  send('text/html', PAGE.replace('<p id="server">', `<p id="server">${(name ?? 'nobody').replaceAll('<', '&lt;')}`));
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0));
