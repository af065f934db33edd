// The certified npm `oidc-provider` as a child process of the tests.
//
//   node provider.mjs '{"rotateRefreshToken":true}'
//
// Prints one JSON line {"issuer","port"} once it listens, and ends when its standard input closes, so that it never
// outlives the test that started it. Options (all optional) are the members of DEFAULTS below.
//
// Beside the protocol's endpoints it has a control channel for tests:
//   GET  /__test/stats     counts of requests by endpoint and grant type
//   GET  /__test/issued    every secret that went over the wire: [{"kind","value"}]
//   POST /__test/clients   registers a client (metadata as in RFC 7591; "public_key_pem" stands for its jwks)
//   POST /__test/mode      {"fail": "500" | "slow" | null, "delay": milliseconds, "only": ["token"],
//                          "omitRefreshToken": true}
//   POST /__test/account  {"id": "ada", "groups": […]}: claims of that account from now on
//   POST /__test/forget    {"model": "RefreshToken"}: every stored item of that model dies
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';
import { memoryAdapter } from './adapter.mjs';
import { renderLogin, renderLogout, renderSignedOut } from './pages.mjs';

const DEFAULTS = {
  host: 'localhost', // the issuer's host; the listener is always 127.0.0.1
  cookiesInFrames: false, // SameSite=None, which browsers take from http on localhost
  port: 0,
  interaction: 'auto', // auto: whoever comes is signed in as login_hint, or ada; form: a page asks
  clients: [],
  rotateRefreshToken: true, // with reuse detection: a replayed refresh token kills the whole grant
  accessTokenTtl: 300,
  refreshTokenTtl: 86400,
  overlap: 0, // seconds for which a refresh token that was used may be used again
  store: null, // a file: what is stored is written there at SIGTERM and read at the start
  newSigningKey: false, // signs with a key that nobody has seen
  remember: true, // every secret, for /__test/issued
  jwtAccessTokens: false,
  par: 'off', // off, optional or required: pushed authorization requests
  resource: null, // an API (RFC 8707) that access tokens, which are JWTs then, can be asked for
  resources: {}, // several of them: { "https://orders.example.test": { ttl, claims, audience } }, and no others are known then
  accessTokenClaims: {}, // further claims of JWT access tokens
  profileClaims: ['name'], // what of an account the scope `profile` brings
  refreshTokenBits: 256,
  endSession: true, // it has a logout of its own
  accounts: {
    ada: { password: 'lovelace', name: 'Ada Lovelace', email: 'ada@example.test', groups: ['engineers'] },
    grace: { password: 'hopper', name: 'Grace Hopper', email: 'grace@example.test', groups: ['admirals'] },
    outsider: { password: 'outsider', name: 'Out Sider', email: 'outsider@elsewhere.test', groups: [] },
    // Whose ID tokens need two cookies, and more than all cookies may hold.
    large: { password: 'large', name: 'Many Groups', email: 'large@example.test', groups: names(110) },
    huge: { password: 'huge', name: 'Too Many Groups', email: 'huge@example.test', groups: names(400) },
  },
};

const options = { ...DEFAULTS, ...JSON.parse(process.argv[2] ?? '{}') };
const severalResources = Object.keys(options.resources).length > 0;
const saved = stored();
const stats = saved.stats ?? { requests: {}, token: {}, tokenErrors: {}, clientAuth: {}, duplicateRefreshes: 0, tokenRequestsAtOnce: 0 };
const presented = new Set(saved.presented); // refresh tokens
const issued = new Map(); // value → kind
let mode = {};
let releaseHeld = [];
let tokenRequests = 0; // under way

// The end of the input means that the tests have ended, or that they wait for this process to end: after SIGTERM both
// come, in any order.
process.stdin.resume();
process.stdin.on('end', stop);
process.on('SIGTERM', stop);
let stopping = false;

// What was begun is answered; what is stored is written down.
function stop() {
  if (stopping) return;
  stopping = true;
  server.close(() => {
    if (options.store) {
      const state = { items: adapter.save(), stats, presented: [...presented], cookieKey };
      writeFileSync(options.store, JSON.stringify(state), { mode: 0o600 });
    }
    process.exit(0);
  });
  setTimeout(() => server.closeAllConnections(), 500).unref();
}

const server = createServer((request, response) => {
  if (options.cookiesInFrames) letCookiesIntoFrames(response);
  dispatch(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
});
await new Promise((resolve) => server.listen(options.port, '127.0.0.1', resolve));
const { port } = server.address();
const issuer = `http://${options.host}:${port}`;
const adapter = memoryAdapter({ saved: saved.items, overlap: options.overlap });
const cookieKey = saved.cookieKey ?? randomBytes(16).toString('hex');
const provider = startProvider();
const protocol = provider.callback();
console.log(JSON.stringify({ issuer, port }));

async function dispatch(request, response) {
  const url = new URL(request.url, issuer);
  if (url.pathname.startsWith('/__test/')) return control(request, response, url.pathname.slice('/__test/'.length));
  const endpoint = endpointOf(url.pathname);
  count(stats.requests, endpoint);
  if (endpoint === 'token') watchOverlap(response);
  const isMeant = !mode.only || mode.only.includes(endpoint);
  if (mode.delay && isMeant) await new Promise((resolve) => setTimeout(resolve, mode.delay));
  if (mode.fail && isMeant) {
    if (mode.fail === 'slow') await new Promise((resolve) => releaseHeld.push(resolve));
    else return reply(response, Number(mode.fail), { error: 'server_error', error_description: 'told to fail' });
  }
  if (endpoint === 'interaction') return interact(request, response, url);
  return protocol(request, response);
}

function watchOverlap(response) {
  tokenRequests += 1;
  stats.tokenRequestsAtOnce = Math.max(stats.tokenRequestsAtOnce, tokenRequests);
  response.once('close', () => { tokenRequests -= 1; });
}

// The library knows no way to say this over http.
function letCookiesIntoFrames(response) {
  const set = response.setHeader;
  response.setHeader = (name, value) => {
    const isCookie = name.toLowerCase() === 'set-cookie';
    const changed = isCookie ? [value].flat().map((line) => line.replace(/; samesite=lax/i, '; samesite=none; secure')) : value;
    return set.call(response, name, changed);
  };
}

function endpointOf(path) {
  if (path.startsWith('/.well-known/')) return 'discovery';
  if (path === '/token/revocation') return 'revocation';
  if (path.startsWith('/session/end')) return 'end_session';
  return path.split('/')[1] || 'root';
}

function startProvider() {
  const provider = new Provider(issuer, {
    adapter: adapter.factory,
    clients: options.clients,
    jwks: { keys: [options.newSigningKey ? newSigningKey() : signingKey()] },
    cookies: { keys: [cookieKey] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    claims: { profile: options.profileClaims, email: ['email', 'email_verified'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'email', 'groups', 'offline_access', 'api'],
    conformIdTokenClaims: false, // the claims of the scopes are in the ID token, as most providers do it
    findAccount,
    extraTokenClaims: async (_ctx, token) => ({
      ...options.accessTokenClaims,
      ...options.resources[token.resourceServer?.identifier()]?.claims,
    }),
    formats: { bitsOfOpaqueRandomness: (_ctx, token) => (token.kind === 'RefreshToken' ? options.refreshTokenBits : 256) },
    // Consent needs no clicks, and a refresh token needs no prompt=consent.
    loadExistingGrant: grantEverything,
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: options.rotateRefreshToken,
    pkce: { required: () => true },
    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? options.accessTokenTtl,
      RefreshToken: options.refreshTokenTtl,
      AuthorizationCode: 60,
      IdToken: 3600,
      Interaction: 3600,
      Session: 86400,
      Grant: 86400,
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      jwtUserinfo: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      pushedAuthorizationRequests: {
        enabled: options.par !== 'off',
        requirePushedAuthorizationRequests: options.par === 'required',
      },
      rpInitiatedLogout: {
        enabled: options.endSession,
        logoutSource: (ctx, form) => { ctx.body = renderLogout(form); },
        postLogoutSuccessSource: (ctx) => { ctx.body = renderSignedOut(); },
      },
      resourceIndicators: {
        enabled: options.jwtAccessTokens || Boolean(options.resource) || severalResources,
        // Without one, an access token for the userinfo endpoint.
        defaultResource: () => (options.jwtAccessTokens ? 'urn:test:api' : undefined),
        useGrantedResource: () => options.jwtAccessTokens,
        getResourceServerInfo: (_ctx, resource) => {
          const known = options.resources[resource];
          if (severalResources && !known) throw new errors.InvalidTarget();
          return {
            scope: 'api',
            audience: known?.audience ?? resource,
            accessTokenTTL: known?.ttl ?? options.accessTokenTtl,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'RS256' } },
          };
        },
      },
    },
  });
  provider.use(record);
  provider.on('server_error', (_ctx, error) => console.error('server_error', error));
  return provider;
}

// By way of PEM, because Node 20 now and then hangs in exporting a KeyObject as JWK that it has just generated.
function newSigningKey() {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { ...createPrivateKey(privateKey).export({ format: 'jwk' }), kid: randomBytes(6).toString('hex'), alg: 'RS256', use: 'sig' };
}

// What was stored at the last SIGTERM.
function stored() {
  try {
    return JSON.parse(readFileSync(options.store, 'utf8'));
  } catch {
    return {};
  }
}

// Made once and kept beside the packages, which git ignores: making one costs more than all the rest of the start.
function signingKey() {
  const file = new URL('node_modules/.signing-key.json', import.meta.url);
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    const key = newSigningKey();
    const draft = new URL(`node_modules/.signing-key-${process.pid}.json`, import.meta.url);
    writeFileSync(draft, JSON.stringify(key), { mode: 0o600 });
    renameSync(draft, file);
    return key;
  }
}

// Group names that no compressor makes small.
function names(count) {
  return Array.from({ length: count }, () => randomBytes(24).toString('base64url'));
}

async function findAccount(_ctx, id) {
  const account = options.accounts[id];
  if (!account) return undefined;
  const { id: _id, password: _, ...claims } = account;
  return { accountId: id, claims: async () => ({ sub: id, email_verified: true, ...claims }) };
}

async function grantEverything(ctx) {
  const { client, session, provider } = ctx.oidc;
  const known = ctx.oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const found = known && await provider.Grant.find(known);
  if (found?.accountId === session.accountId) return found;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(`openid profile email groups offline_access${severalResources ? ' api' : ''}`);
  grant.addResourceScope('urn:test:api', 'api');
  if (options.resource) grant.addResourceScope(options.resource, 'api');
  for (const resource of Object.keys(options.resources)) grant.addResourceScope(resource, 'api');
  await grant.save();
  return grant;
}

// Keeps what a careless relying party could leak, and counts what it asked for.
async function record(ctx, next) {
  await next();
  const { oidc } = ctx;
  if (!oidc) return;
  const body = oidc.body ?? {};
  const params = oidc.params ?? {};
  if (oidc.route === 'token') {
    count(stats.token, body.grant_type ?? params.grant_type);
    if (body.refresh_token) notePresented(body.refresh_token);
    if (ctx.status >= 400) count(stats.tokenErrors, ctx.body?.error);
    else count(stats.clientAuth, `token ${oidc.client?.clientAuthMethod}`);
    for (const kind of ['code', 'code_verifier', 'refresh_token', 'client_secret', 'client_assertion']) remember(kind, body[kind]);
    for (const kind of ['access_token', 'refresh_token', 'id_token']) remember(kind, ctx.body?.[kind]);
    if (mode.omitRefreshToken && (body.grant_type ?? params.grant_type) === 'refresh_token' && ctx.body?.refresh_token) {
      const { refresh_token: _, ...rest } = ctx.body;
      ctx.body = rest;
    }
  }
  if (oidc.route === 'pushed_authorization_request' || oidc.route === 'revocation') {
    for (const kind of ['state', 'nonce', 'client_secret', 'client_assertion']) remember(kind, body[kind]);
    remember('request_uri', ctx.body?.request_uri);
    if (ctx.status < 400) count(stats.clientAuth, `${oidc.route} ${oidc.client?.clientAuthMethod}`);
  }
  if (oidc.route === 'authorization' || oidc.route === 'resume') {
    for (const kind of ['state', 'nonce']) remember(kind, params[kind]);
    const location = ctx.response.get('location');
    if (location?.includes('code=')) remember('code', new URL(location, issuer).searchParams.get('code'));
  }
}

// A page asks for name and password, or nobody is asked at all.
async function interact(request, response, url) {
  const details = await provider.interactionDetails(request, response);
  const asked = details.prompt.name;
  if (asked === 'consent') return finish(request, response, { consent: {} });
  if (options.interaction === 'auto') {
    return finish(request, response, { login: { accountId: details.params.login_hint ?? 'ada' } });
  }
  if (request.method !== 'POST') return html(response, 200, renderLogin(url.pathname));
  const form = new URLSearchParams(await text(request));
  const account = options.accounts[form.get('username')];
  if (account?.password !== form.get('password')) return html(response, 401, renderLogin(url.pathname, 'Wrong name or password.'));
  return finish(request, response, { login: { accountId: form.get('username') } });
}

function finish(request, response, result) {
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function control(request, response, command) {
  let body = request.method === 'POST' ? JSON.parse(await text(request) || '{}') : undefined;
  switch (`${request.method} ${command}`) {
    case 'GET stats':
      return reply(response, 200, { ...stats, live: adapter.counts() });
    case 'GET issued':
      return reply(response, 200, [...issued].map(([value, kind]) => ({ kind, value })));
    case 'POST clients':
      if (body.public_key_pem) {
        const { public_key_pem: pem, ...rest } = body;
        body = { ...rest, jwks: { keys: [createPublicKey(pem).export({ format: 'jwk' })] } };
      }
      adapter.put('Client', body.client_id, { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...body });
      if (body.client_secret) remember('client_secret', body.client_secret);
      return reply(response, 201, {});
    case 'POST mode':
      mode = body;
      for (const release of releaseHeld.splice(0)) release();
      return reply(response, 200, {});
    case 'POST account':
      Object.assign(options.accounts[body.id], body);
      return reply(response, 200, {});
    case 'POST forget':
      adapter.forget(body.model);
      return reply(response, 200, {});
    default:
      return reply(response, 404, {});
  }
}

// With rotation each refresh token is to be used once; a second use is what reuse detection is for.
function notePresented(refreshToken) {
  if (presented.has(refreshToken)) stats.duplicateRefreshes += 1;
  presented.add(refreshToken);
}

function remember(kind, value) {
  if (options.remember && typeof value === 'string' && value.length > 0) issued.set(value, kind);
}

function count(counts, key) {
  counts[key] = (counts[key] ?? 0) + 1;
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function html(response, status, page) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(page);
}

async function text(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}
