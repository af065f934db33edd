// A front end that was written for Duende's BFF, and knows nothing else. Everything in it follows these pages:
//   https://docs.duendesoftware.com/bff/fundamentals/session/management/user/          the claims, X-CSRF, slide=false
//   https://docs.duendesoftware.com/bff/fundamentals/session/management/login/         returnUrl
//   https://docs.duendesoftware.com/bff/fundamentals/session/management/logout/        bff:logout_url, returnUrl
//   https://docs.duendesoftware.com/bff/fundamentals/session/management/silent-login/  the frame and its message
//   https://docs.duendesoftware.com/bff/fundamentals/apis/local/                       X-CSRF on calls of APIs
const headers = new Headers({ 'X-CSRF': '1' });
const show = (id, text) => { document.querySelector(id).textContent = text; };
let userClaims = null;

async function load() {
  const response = await fetch(new Request('/bff/user?slide=false', { headers }));
  if (response.ok) userClaims = await response.json();
  // With AnonymousSessionResponse.Response200 it is null.
  if (!response.ok || userClaims === null) return show('#user', `anonymous ${response.status}`);
  const valueOf = (type) => userClaims.find((claim) => claim.type === type)?.value;
  const groups = userClaims.filter(({ type }) => type === 'groups').map(({ value }) => value);
  show('#user', [valueOf('sub'), valueOf('name'), ...groups].join(' '));
  show('#session', typeof valueOf('bff:session_expires_in'));
  const todos = await fetch(new Request('/todos', { headers }));
  show('#todos', `todos ${todos.status}`);
}

window.addEventListener('message', ({ data }) => {
  if (data && data.source === 'bff-silent-login') show('#silent', `silent ${data.isLoggedIn}`);
});
document.querySelector('#login').addEventListener('click', () => { window.location = '/bff/login?returnUrl=/board'; });
document.querySelector('#logout').addEventListener('click', () => {
  const logoutUrl = userClaims.find((claim) => claim.type === 'bff:logout_url').value;
  window.location = `${logoutUrl}&returnUrl=/logged-out`;
});
document.querySelector('#silently').addEventListener('click', () => {
  // Version 4; earlier ones have /bff/silent-login.
  document.querySelector('#bff-silent-login').src = window.silentLogin ?? '/bff/login?prompt=none';
});
load();
