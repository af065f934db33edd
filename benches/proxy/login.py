"""A browser of the simplest kind: it follows redirects and keeps cookies by host, as browsers do, whatever the port.

It ignores `Secure`, because all of this is on the loopback interface.
"""

import http.client
import re
from urllib.parse import urljoin, urlsplit

from processes import BenchError

NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}
MOST_REDIRECTS = 20


class Browser:
    """Cookies, and pages that were asked for."""

    def __init__(self):
        self.cookies = {}  # host → name → value

    def sign_in(self, url, home):
        """Opens `url` and follows redirects until one leads to `home`, or a page is shown."""
        for _ in range(MOST_REDIRECTS):
            status, headers, body = self.get(url)
            location = headers.get("Location")
            if status not in (301, 302, 303, 307, 308) or not location:
                if status >= 400:
                    raise BenchError(f"signing in ended with {status} at {url}: {body[:300]!r}")
                return
            url = urljoin(url, location)
            if url.rstrip("/") == home.rstrip("/"):
                return
        raise BenchError(f"signing in never ends: {url}")

    def get(self, url, headers=None):
        """One GET: status, header fields and body."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
        fields = {**(headers or NAVIGATION), "Host": parts.netloc}
        if cookie := self.cookie_field(parts.hostname):
            fields["Cookie"] = cookie
        target = parts.path or "/"
        connection.request("GET", f"{target}?{parts.query}" if parts.query else target, headers=fields)
        response = connection.getresponse()
        body = response.read()
        for line in response.headers.get_all("Set-Cookie", []):
            self.keep(parts.hostname, line)
        connection.close()
        return response.status, response.headers, body

    def keep(self, host, line):
        """Sets or deletes a cookie."""
        name, _, value = line.split(";")[0].strip().partition("=")
        jar = self.cookies.setdefault(host, {})
        if re.search(r";\s*(Max-Age=(0|-\d+)(;|$)|Expires=[^;]*\b1970\b)", line, re.IGNORECASE):
            jar.pop(name, None)
        else:
            jar[name] = value

    def cookie_field(self, host="127.0.0.1"):
        """The Cookie field for a host."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.get(host, {}).items())
