// What a single-page app needs in front of Sealgate. There is no token here: the session is a cookie that no script sees.

const CONFLICT = "urn:sealgate:error:refresh-conflict";
const STEP_UP = "urn:sealgate:error:step-up-required";
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
    const isProblem = [401, 403].includes(response.status) && response.headers.get("content-type")?.includes("problem+json");
    return isProblem ? response.clone().json().catch(() => ({})) : {};
  }

  async function send(input, init) {
    const request = new Request(input, init);
    if (new URL(request.url).origin !== location.origin) return fetch(request);
    request.headers.set(...csrf);
    // A body can be read once; the copy is for the second attempt.
    const copy = request.clone();
    let response = await fetch(request);
    let refusal = await problem(response);
    if (refusal.type === CONFLICT) {
      // Another tab or replica has the newer cookie, and it is on its way.
      await new Promise((resolve) => setTimeout(resolve, retryAfter));
      response = await fetch(copy);
      refusal = await problem(response);
    }
    if (ENDED.includes(refusal.type)) ended();
    if (refusal.type === STEP_UP) events.dispatchEvent(new CustomEvent("step-up", { detail: refusal }));
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

  function login(returnUrl = location.pathname + location.search + location.hash, url = `${prefix}/login`) {
    location.assign(`${url}${url.includes("?") ? "&" : "?"}returnUrl=${encodeURIComponent(returnUrl)}`);
  }

  // Whether the provider knows the user, asked in a frame. Browsers may keep its cookies from there: then nobody is known.
  function silentLogin({ timeout = 10_000 } = {}) {
    const frame = Object.assign(document.createElement("iframe"), { hidden: true, src: `${prefix}/silent-login` });
    return new Promise((resolve) => {
      const finish = (known) => {
        removeEventListener("message", hear);
        frame.remove();
        resolve(known);
      };
      const hear = ({ origin, source, data }) => {
        const isOurs = origin === location.origin && source === frame.contentWindow;
        if (isOurs && data?.source === "bff-silent-login") finish(data.isLoggedIn === true);
      };
      addEventListener("message", hear);
      document.body.append(frame);
      setTimeout(finish, timeout, false);
    });
  }

  async function logout() {
    signedIn = false;
    clearTimeout(timer);
    const response = await send(`${prefix}/logout`, { method: "POST" });
    const { logout_url } = response.ok ? await response.json() : {};
    location.assign(logout_url ?? "/");
  }

  function on(event, listener) {
    const call = ({ detail }) => listener(detail);
    events.addEventListener(event, call);
    return () => events.removeEventListener(event, call);
  }

  const onSessionEnd = (listener) => on("end", () => listener());
  const onStepUp = (listener) => on("step-up", listener);
  return { user, login, silentLogin, logout, fetch: send, onSessionEnd, onStepUp };
}
