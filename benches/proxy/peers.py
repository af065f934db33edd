"""Other software that keeps a session in cookies and forwards API calls with the access token, each with a login at the
same provider, before the same upstream, on one core, with a log line a request (BENCH_PEERS=1).

Configured as its documentation tells, and given what it needs to be fast: connections that stay on both sides, one
process a core. What they seal is not the same: each keeps in its cookies what it keeps by default.
"""

import json
import re
import secrets
import subprocess

from load import BROWSER_HEADERS, Row
from login import Browser
from peers_apache import start_apache
from peers_envoy import BINARY as ENVOY
from peers_envoy import start_envoy
from peers_oauth2_proxy import BINARY as OAUTH2_PROXY
from peers_oauth2_proxy import start_oauth2_proxy
from processes import BenchError, Service, free_port
from servers import ROOT

EXPRESS = ROOT / "benches/proxy/express"


def rows(provider, upstream, cores, folder):
    """A row for each of them, signed in."""
    peers = [
        ("express", "express-openid-connect", start_express),
        ("apache", "Apache, mod_auth_openidc", start_apache),
        ("envoy", "Envoy, OAuth2 filter", start_envoy),
    ]
    if OAUTH2_PROXY.exists():
        peers.append(("oauth2-proxy", "oauth2-proxy", start_oauth2_proxy))
    return [peer(*one, provider, upstream, cores, folder) for one in peers]


def versions():
    """What took part, beside nginx and Sealgate."""
    packages = json.loads((EXPRESS / "package.json").read_text())["dependencies"]
    yield f"Node.js {output('node', '--version').removeprefix('v')}"
    yield from (f"{name} {packages[name]}" for name in ("express", "express-openid-connect", "http-proxy-middleware"))
    yield output("apache2", "-v").split("version: ")[1].split(" ")[0].replace("/", " ")
    yield f"mod_auth_openidc {output('dpkg-query', '-W', '-f', '${Version}', 'libapache2-mod-auth-openidc')}"
    if OAUTH2_PROXY.exists():
        yield f"oauth2-proxy {module_version(OAUTH2_PROXY)}"
    yield f"Envoy {re.search(r'/([0-9.]+)/', output(ENVOY, '--version')).group(1)}"


def module_version(binary):
    """The version of the module that a Go program's main package is of."""
    run = subprocess.run(["go", "version", "-m", binary], capture_output=True, text=True, check=True)
    return re.search(r"github\.com/oauth2-proxy/oauth2-proxy/v7\tv(\S+)", run.stdout).group(1)


def output(*command):
    """The first line that is not empty of what a command prints."""
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return next(line.strip() for line in run.stdout.splitlines() if line.strip())


def peer(name, title, start, provider, upstream, cores, folder):
    """Starts one and signs in at it."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    redirect_path = {"apache": "/api/callback", "oauth2-proxy": "/oauth2/callback"}.get(name, "/callback")
    secret = provider.register(name, base + redirect_path)
    service = start(provider.issuer, upstream.port, port, name, secret, redirect_path, cores, folder)
    service.wait_for_port(port)
    browser = Browser()
    login = base + "/login" if name == "express" else base + "/api/orders"
    browser.sign_in(login, base + "/")
    status, _, _ = browser.get(f"{base}/api/orders", BROWSER_HEADERS)
    if status != 200:
        raise BenchError(f"{name}: signed in, but the API says {status}: {service.last_words()}")
    cookie = browser.cookie_field()
    return Row(name, f"{title} ({len(cookie):,} characters of cookies)", service, f"{base}/api/orders", cookie)


def start_express(issuer, upstream_port, port, client_id, client_secret, _redirect_path, cores, folder):
    """Node.js, as server.mjs says."""
    if not (EXPRESS / "node_modules/express-openid-connect").is_dir():
        raise BenchError(f"run `BENCH_PEERS=1 make bench-proxy`, or `npm ci` in {EXPRESS}")
    options = {
        "port": port,
        "upstream": f"http://127.0.0.1:{upstream_port}",
        "issuer": issuer,
        "clientId": client_id,
        "clientSecret": client_secret,
        "secret": secrets.token_urlsafe(48),
    }
    environment = {"NODE_ENV": "production"}
    command = ["node", EXPRESS / "server.mjs", json.dumps(options)]
    return Service("express", command, cores.proxy, folder, env=environment)
