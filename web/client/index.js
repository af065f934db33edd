// What a single-page app needs in front of Sealgate. There is no token here: the session is a cookie that no script sees.

const CONFLICT = "urn:sealgate:error:refresh-conflict";
const ENDED = ["urn:sealgate:error:not-signed-in", "urn:sealgate:error:session-expired"];

/** A client of the Sealgate that serves this page. See index.d.ts. */
export function createClient({ prefix = "/bff", csrf = ["X-CSRF", "1"], retryAfter = 1000 } = {}) {
  const events = new EventTarget();
  let signedIn = false;
  let timer;

  function ended() {
    clearTimeout(timer);
    if (signedIn) {
      signedIn = false;
      events.dispatchEvent(new Event("end"));
    }
  }

  async function problem(response) {
    const isProblem = response.status === 401 && response.headers.get("content-type")?.includes("problem+json");
    return isProblem ? (await response.clone().json().catch(() => ({}))).type : undefined;
  }

  async function send(input, init) {
    const request = new Request(input, init);
    if (new URL(request.url).origin !== location.origin) return fetch(request);
    request.headers.set(...csrf);
    // A body can be read once; the copy is for the second attempt.
    const copy = request.clone();
    let response = await fetch(request);
    let type = await problem(response);
    if (type === CONFLICT) {
      // Another tab or replica has the newer cookie, and it is on its way.
      await new Promise((resolve) => setTimeout(resolve, retryAfter));
      response = await fetch(copy);
      type = await problem(response);
    }
    if (ENDED.includes(type)) ended();
    return response;
  }

  async function user({ slide = true } = {}) {
    const response = await send(`${prefix}/user${slide ? "" : "?slide=false"}`, { cache: "no-store" });
    if (response.status === 401) return null;
    if (!response.ok) throw new Error(`${prefix}/user answered ${response.status}`);
    const claims = await response.json();
    signedIn = true;
    watch(claims["bff:session_expires_in"]);
    return claims;
  }

  // Activity in any tab moves the end, so at the supposed end the server is asked.
  function watch(seconds) {
    clearTimeout(timer);
    const look = () => user({ slide: false }).catch(() => watch(60));
    // The longest time that setTimeout takes is 24.8 days.
    if (seconds >= 0) timer = setTimeout(look, Math.min(seconds + 1, 86_400) * 1000);
  }

  function login(returnUrl = location.pathname + location.search + location.hash) {
    location.assign(`${prefix}/login?returnUrl=${encodeURIComponent(returnUrl)}`);
  }

  async function logout() {
    signedIn = false;
    clearTimeout(timer);
    const response = await send(`${prefix}/logout`, { method: "POST" });
    const { logout_url } = response.ok ? await response.json() : {};
    location.assign(logout_url ?? "/");
  }

  function onSessionEnd(listener) {
    const call = () => listener();
    events.addEventListener("end", call);
    return () => events.removeEventListener("end", call);
  }

  return { user, login, logout, fetch: send, onSessionEnd };
}
