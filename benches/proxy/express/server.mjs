// A Node.js application as its documentation builds it: express-openid-connect keeps the session in an encrypted
// cookie, http-proxy-middleware forwards API calls with the access token, morgan writes a line a request.
//
//   node server.mjs '{"port":…,"upstream":"http://…","issuer":"http://…","clientId":"…","clientSecret":"…","secret":"…"}'
import { Agent } from 'node:http';
import express from 'express';
import openid from 'express-openid-connect';
import { createProxyMiddleware } from 'http-proxy-middleware';
import morgan from 'morgan';

const options = JSON.parse(process.argv[2]);
const app = express();
app.disable('x-powered-by');
app.use(morgan('combined'));
app.use(openid.auth({
  issuerBaseURL: options.issuer,
  baseURL: `http://127.0.0.1:${options.port}`,
  clientID: options.clientId,
  clientSecret: options.clientSecret,
  secret: options.secret,
  authRequired: false,
  authorizationParams: { response_type: 'code', response_mode: 'query', scope: 'openid profile offline_access' },
}));
app.use('/api', (request, response, next) => {
  if (!request.oidc.isAuthenticated()) return response.status(401).end();
  request.headers.authorization = `Bearer ${request.oidc.accessToken.access_token}`;
  delete request.headers.cookie;
  return next();
});
app.use(createProxyMiddleware({
  target: options.upstream,
  pathFilter: '/api',
  agent: new Agent({ keepAlive: true, maxSockets: 128 }),
}));
app.listen(options.port, '127.0.0.1', 4096);
