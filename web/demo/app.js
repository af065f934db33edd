// The demo's single-page app. It holds no token: all that it knows of the session comes from /bff/user.
// To begin an app of your own, copy sealgate.js (web/client/index.js) and what uses `bff` here.
import { createClient } from "./sealgate.js";

const bff = createClient();
const POLL_EVERY = 15_000;
const CALL_EVERY = 10_000;
const EVENTS_KEPT = 40;
// A lifetime that grew by more than this, in milliseconds, is a new token and not the rounding to whole seconds.
const GROWTH = 2_500;

const $ = (id) => document.getElementById(id);

const view = {
  tokenEnds: null,
  tokenLifetime: 60,
  sessionEnds: null,
  refreshes: 0,
  asked: 0,
  shown: 0,
  autoCall: null,
};

// What the server says

/** Asks who is signed in. `cause` says how a new access token came about. */
async function loadUser(cause) {
  const number = (view.asked += 1);
  let user;
  let trouble = null;
  try {
    // Looking is no activity: it must not keep an idle session alive.
    user = await bff.user({ slide: false });
  } catch (error) {
    trouble = error;
  }
  if (number < view.shown) {
    return;
  }
  view.shown = number;
  if (trouble instanceof TypeError) {
    showTrouble("Sealgate does not answer. Is the demo still running?");
  } else if (trouble) {
    showTrouble(`${trouble.message}; the session may be fine, try again in a moment.`);
  } else if (user) {
    showUser(user, cause);
  } else {
    showSignedOut();
  }
}

async function callApi() {
  const button = $("call-api");
  if (button.disabled) {
    return;
  }
  button.disabled = true;
  const start = performance.now();
  try {
    const response = await bff.fetch("/api/echo", { cache: "no-store" });
    const text = await response.text();
    showResult(response, text, Math.round(performance.now() - start));
  } catch {
    showSummary("no answer", false);
    record("The API call failed: no answer");
  } finally {
    button.disabled = false;
  }
  await loadUser("during an API call");
}

async function refreshNow() {
  const button = $("refresh-now");
  button.disabled = true;
  try {
    const response = await bff.fetch("/bff/refresh", { method: "POST" });
    if (!response.ok && response.status !== 401) {
      record(`The refresh was answered with ${response.status}`);
    }
  } catch {
    record("The refresh failed: no answer");
  } finally {
    button.disabled = false;
  }
  await loadUser("by the button");
}

/** What this very run of the demo is: absent when the page is served by something else. */
async function loadFacts() {
  $("app-origin").textContent = location.host;
  try {
    const response = await fetch("/demo.json");
    const isJson = (response.headers.get("content-type") ?? "").includes("json");
    if (response.ok && isJson) {
      showFacts(await response.json());
    }
  } catch {
    // The page's general words stay.
  }
}

// What the page shows

function setState(state, status) {
  document.body.dataset.state = state;
  if ($("status").textContent !== status) {
    $("status").textContent = status;
  }
  $("signed-in").hidden = state !== "in" && !(state === "error" && view.sessionEnds !== null);
  $("sign-out").hidden = $("signed-in").hidden;
  $("signed-out").hidden = state !== "out";
}

function showUser(user, cause) {
  const first = view.sessionEnds === null;
  $("notice").hidden = true;
  $("user-name").textContent = user.name ?? user.sub;
  $("user-email").textContent = user.email ?? "";
  $("user-groups").textContent = (user.groups ?? []).join(", ") || "none";
  $("user-sub").textContent = user.sub;
  $("avatar").textContent = initials(user.name ?? user.sub);
  $("cookie-size").textContent = user["bff:cookie_size"] ?? "–";
  const logout = user["bff:logout_url"];
  if (typeof logout === "string" && logout.startsWith("/") && !logout.startsWith("//")) {
    $("sign-out").href = logout;
  }
  view.sessionEnds = Date.now() + user["bff:session_expires_in"] * 1000;
  noteToken(user["bff:access_token_expires_in"], cause);
  setState("in", "Signed in");
  if (first) {
    record(`Signed in as ${user.name ?? user.sub}`);
  }
  tick();
}

function noteToken(seconds, cause) {
  const left = Math.max(0, view.tokenEnds === null ? 0 : view.tokenEnds - Date.now());
  const grown = view.tokenEnds !== null && seconds * 1000 > left + GROWTH;
  view.tokenEnds = Date.now() + seconds * 1000;
  view.tokenLifetime = Math.max(view.tokenLifetime, seconds);
  if (!grown) {
    return;
  }
  view.refreshes += 1;
  $("refresh-count").textContent = view.refreshes;
  $("refresh-unit").textContent = view.refreshes === 1 ? "refresh seen" : "refreshes seen";
  record(`New access token ${cause}: ${Math.round(left / 1000)} s → ${seconds} s`, true);
  const dial = $("dial");
  dial.classList.remove("fresh");
  requestAnimationFrame(() => dial.classList.add("fresh"));
}

function showSignedOut() {
  if (view.sessionEnds !== null) {
    $("notice").textContent = "Your session has ended. Sign in again to go on.";
    $("notice").hidden = false;
  }
  view.sessionEnds = null;
  view.tokenEnds = null;
  setAutoCall(false);
  setState("out", "Signed out");
}

function showTrouble(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  setState("error", "No answer");
}

function showResult(response, text, milliseconds) {
  showSummary(`${response.status} in ${milliseconds} ms`, response.ok);
  record(`GET /api/echo → ${response.status}`);
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not JSON: shown as it came.
  }
  $("api-result").classList.remove("empty");
  $("api-result").replaceChildren(...coloured(shown));
}

function showSummary(text, good) {
  $("api-summary").textContent = text;
  $("api-summary").className = `summary ${good ? "good" : "bad"}`;
}

function showFacts(facts) {
  view.tokenLifetime = facts.access_token_lifetime ?? view.tokenLifetime;
  $("issuer").textContent = new URL(facts.issuer).host;
  $("propagation").textContent = `${facts.propagation} seconds`;
  $("rotate-command").textContent = `${shellQuoted(facts.program)} keys rotate --ring ${shellQuoted(facts.ring)}`;
}

function record(text, strong = false) {
  const now = new Date();
  const time = document.createElement("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toTimeString().slice(0, 8);
  const words = document.createElement("span");
  words.textContent = text;
  words.className = strong ? "strong" : "";
  const line = document.createElement("li");
  line.append(time, words);
  $("events").prepend(line);
  while ($("events").children.length > EVENTS_KEPT) {
    $("events").lastElementChild.remove();
  }
}

function tick() {
  if (view.tokenEnds === null) {
    return;
  }
  const left = Math.max(0, Math.ceil((view.tokenEnds - Date.now()) / 1000));
  setText($("token-seconds"), String(left));
  $("dial-hand").setAttribute("stroke-dashoffset", String(100 - (100 * left) / view.tokenLifetime));
  $("dial").classList.toggle("low", left <= view.tokenLifetime / 5);
  $("dial").classList.toggle("over", left === 0);
  setText($("session-left"), duration(Math.max(0, Math.round((view.sessionEnds - Date.now()) / 1000))));
}

function setAutoCall(on) {
  $("auto-call").checked = on;
  clearInterval(view.autoCall);
  view.autoCall = on ? setInterval(callApi, CALL_EVERY) : null;
  if (on) {
    callApi();
  }
}

async function copyCommand() {
  const button = $("copy-command");
  try {
    await navigator.clipboard.writeText($("rotate-command").textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("rotate-command"));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

// Small things

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => word?.charAt(0) ?? "").join("").toUpperCase();
}

function duration(seconds) {
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const start = parts.findIndex(([count]) => count > 0);
  return parts.slice(start < 0 ? 2 : start).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

function shellQuoted(path) {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** JSON text as nodes: keys, strings and numbers in colours of their own, never as markup. */
function coloured(json) {
  const nodes = [];
  const token = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/g;
  let end = 0;
  for (const match of json.matchAll(token)) {
    nodes.push(json.slice(end, match.index));
    const span = document.createElement("span");
    span.className = match[2] ? "k" : match[1] ? "s" : "n";
    span.textContent = match[1] ?? match[0];
    nodes.push(span, match[2] ?? "");
    end = match.index + match[0].length;
  }
  nodes.push(json.slice(end));
  return nodes;
}

// Start

$("sign-in").addEventListener("click", (event) => {
  event.preventDefault();
  bff.login();
});
bff.onSessionEnd(showSignedOut);
$("call-api").addEventListener("click", callApi);
$("refresh-now").addEventListener("click", refreshNow);
$("auto-call").addEventListener("change", (event) => setAutoCall(event.target.checked));
$("copy-command").addEventListener("click", copyCommand);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    loadUser("in the background");
  }
});
// Back from the provider by the browser's cache of pages: what is shown may be long over.
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    loadUser("in the background");
  }
});
setInterval(tick, 250);
setInterval(() => {
  if (!document.hidden && document.body.dataset.state !== "out") {
    loadUser("in the background");
  }
}, POLL_EVERY);
loadFacts();
loadUser("with the page");
