"""The upstream, nginx and Sealgate, each as it is measured.

Both proxies have one worker, connections to the upstream that stay, and a log line a request where the row says so.
Nothing here may favour Sealgate: nginx forwards what it is sent, without a field added.
"""

import http.client
import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from load import BROWSER_HEADERS, Row
from login import Browser
from processes import BenchError, Service, free_port

ROOT = Path(__file__).parents[2]
BODY_BYTES = 1024

NGINX_PROXY = "nginx-cookie"
"""The row that all others are compared with."""


def find_system_binaries():
    """Adds where Debian has nginx and apache2."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"


class Upstream:
    """nginx beside the load generator: 1 KB of JSON under `…/orders`, the request itself under `…/seen`."""

    def __init__(self, cores, folder):
        self.port, self.body_bytes = free_port(), BODY_BYTES
        frame = '{"orders":"%s"}'
        body = frame % ("x" * (BODY_BYTES - len(frame % "")))
        locations = f"""
        location ~ /orders$ {{ return 200 '{body}'; }}
        location ~ /seen$ {{ return 200 '{{"authorization":"$http_authorization","cookie":"$http_cookie"}}'; }}
        location = /status {{ stub_status; }}"""
        server = f"listen 127.0.0.1:{self.port} backlog=4096; default_type application/json; {locations}"
        self.service = start_nginx("upstream", server, "access_log off; keepalive_requests 1000000000;", cores.load, folder, self.port)

    def served(self):
        """Requests that it answered so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=30) as response:
            return int(response.read().split(b"\n")[2].split()[2])


def start_nginx(name, server, http_settings, cores, folder, port, workers=1):
    """One nginx with one server block."""
    home = Path(folder) / name
    home.mkdir()
    home.chmod(0o755)  # the workers of root are somebody else
    temporary = " ".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = f"""
    daemon off; worker_processes {workers}; pid {home}/pid; error_log stderr warn;
    events {{ worker_connections 4096; }}
    http {{
      sendfile on; tcp_nopush on; {temporary}
      {http_settings}
      server {{ {server} }}
    }}"""
    file = home / "nginx.conf"
    file.write_text(configuration)
    service = Service(name, ["nginx", "-c", file, "-e", "stderr"], cores, folder)
    service.wait_for_port(port)
    return service


def start_nginx_proxy(name, upstream, cores, folder, access_log=False, workers=1):
    """nginx that forwards everything; gives the service and its URL."""
    port = free_port()
    server = f"""
      listen 127.0.0.1:{port} backlog=4096;
      location / {{ proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection ""; }}"""
    log = f"access_log {folder}/{name}-access.log combined;" if access_log else "access_log off;"
    pool = f"upstream api {{ server 127.0.0.1:{upstream.port}; keepalive 128; }}"
    service = start_nginx(name, server, f"{log} {pool}", cores, folder, port, workers)
    return service, f"http://127.0.0.1:{port}"


class Sealgate:
    """One configuration of Sealgate, and the processes that are started with it."""

    def __init__(self, binary, provider, upstream, folder):
        self.binary, self.provider, self.folder = binary, provider, folder
        self.port = free_port()
        self.public_url = f"http://127.0.0.1:{self.port}"
        self.secret = provider.register("sealgate", f"{self.public_url}/bff/callback")
        self.upstream = upstream
        self.ring = Path(folder) / "keys" / "ring.json"
        self.ring.parent.mkdir()
        subprocess.run(
            [binary, "keys", "generate", "--ring", self.ring], check=True, stdout=subprocess.DEVNULL
        )

    def launch(self, name, cores, workers=1, port=None):
        """Starts a process; gives it, its port and the port of its management listener."""
        port, management = port or free_port(), free_port()
        file = Path(self.folder) / f"{name}.toml"
        file.touch(mode=0o600)  # the client secret is in it
        file.write_text(self.configuration(port, management, workers))
        service = Service(name, [self.binary, "serve", "--config", file], cores, self.folder)
        return service, port, management

    def start(self, name, cores, workers=1, port=None):
        """Starts a process and waits until it is ready; gives it and its URL."""
        service, port, management = self.launch(name, cores, workers, port)
        service.wait_until("readiness", lambda: is_ready(management))
        return service, f"http://127.0.0.1:{port}"

    def configuration(self, port, management, workers):
        """Defaults wherever they can be: an access line a request to standard error, metrics on."""
        upstream = f"http://127.0.0.1:{self.upstream.port}"
        return f"""
[server]
listen = "127.0.0.1:{port}"
management_listen = "127.0.0.1:{management}"
public_url = "{self.public_url}"
workers = {workers}
drain_delay = "0s"

[provider]
issuer = "{self.provider.issuer}"
client_id = "sealgate"
client_secret = "{self.secret}"

[session]
# The load sends the same cookies from the first to the last round; a browser would take newer ones.
idle_timeout = "8h"

[keys]
ring = "{self.ring}"

[[routes]]
path = "/api"
upstream = "{upstream}"
auth = "session"

[[routes]]
path = "/public"
upstream = "{upstream}"
auth = "none"
"""

    def sign_in(self):
        """Logs in as a browser would, at the process on the public port; gives the Cookie field."""
        browser = Browser()
        browser.sign_in(f"{self.public_url}/bff/login?returnUrl=/home", f"{self.public_url}/home")
        # The first call brings the cookie of the last activity.
        status, _, _ = browser.get(f"{self.public_url}/api/orders", BROWSER_HEADERS)
        if status != 200 or "sealgate" not in browser.cookies.get("127.0.0.1", {}):
            raise BenchError(f"signed in, but the API says {status}")
        return browser.cookie_field()

    def start_ups(self, cores, times):
        """Milliseconds from the start of a process to its readiness, and its resident memory then, in KiB."""
        starts = []
        for number in range(times):
            begin = time.monotonic()
            service, _, management = self.launch(f"start-{number}", cores)
            service.wait_until("readiness", lambda: is_ready(management), pause=0.001)
            starts.append(((time.monotonic() - begin) * 1000, service.resident_kib()))
            service.stop()
        return starts


def is_ready(management):
    """What /readyz says."""
    connection = http.client.HTTPConnection("127.0.0.1", management, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def rows(binary, provider, upstream, cores, folder):
    """The rows that every run has, in the order of the table, and the Sealgate that they are of."""
    sealgate = Sealgate(binary, provider, upstream, folder)
    gate, gate_url = sealgate.start("sealgate", cores.proxy, port=sealgate.port)
    wide_gate, wide_gate_url = sealgate.start("sealgate-two", cores.two, workers=2)
    cookie = sealgate.sign_in()
    nginx, nginx_url = start_nginx_proxy("nginx", upstream, cores.proxy, folder)
    logging, logging_url = start_nginx_proxy("nginx-log", upstream, cores.proxy, folder, access_log=True)
    wide, wide_url = start_nginx_proxy("nginx-two", upstream, cores.two, folder, workers=2)
    api, public = "/api/orders", "/public/orders"
    all_rows = [
        Row("nginx", "nginx, no cookie", nginx, nginx_url + api),
        Row(NGINX_PROXY, "nginx, the same cookie", nginx, nginx_url + api, cookie),
        Row("nginx-log", "nginx, the same cookie, access log", logging, logging_url + api, cookie),
        Row("sealgate", "Sealgate, `auth = \"session\"`", gate, gate_url + api, cookie),
        Row("sealgate-none", "Sealgate, `auth = \"none\"`, the same cookie", gate, gate_url + public, cookie),
        Row("nginx-two", "nginx, the same cookie, two workers", wide, wide_url + api, cookie),
        Row("sealgate-two", "Sealgate, `auth = \"session\"`, two workers", wide_gate, wide_gate_url + api, cookie),
    ]
    return all_rows, sealgate


def check_row(row):
    """The proxy does what its row says: the cookie goes through nginx, and becomes a token behind whoever signs in."""
    status, _, body = request(row, "orders")
    if status != 200 or len(body) != BODY_BYTES:
        raise BenchError(f"{row.name} answers {status} with {len(body)} bytes: {row.service.last_words()}")
    seen = json.loads(request(row, "seen")[2])
    signs_in = not row.name.startswith("nginx") and row.name != "sealgate-none"
    if signs_in != bool(re.fullmatch(r"Bearer \S{1500,2500}", seen["authorization"])):
        raise BenchError(f"{row.name}: Authorization at the upstream has {len(seen['authorization'])} characters")
    if row.name.startswith("nginx") and seen["cookie"] != row.cookie:
        raise BenchError(f"{row.name} does not forward the cookie")


def request(row, last):
    """The row's request once, for another resource of the upstream."""
    url = row.url[: -len("orders")] + last
    port = int(re.search(r":(\d+)/", url).group(1))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/" + url.split("/", 3)[3], headers=row.headers())
    response = connection.getresponse()
    answer = response.status, response.headers, response.read()
    connection.close()
    return answer


def default_binary():
    """The release build, or what SEALGATE_BINARY names."""
    binary = Path(os.environ.get("SEALGATE_BINARY", ROOT / "target/release/sealgate"))
    if not binary.is_file():
        raise BenchError(f"{binary} is missing: run `make bench-proxy`, or `cargo build --release`")
    return binary
