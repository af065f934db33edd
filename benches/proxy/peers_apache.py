"""Apache httpd with mod_auth_openidc: the session in encrypted client cookies, the event MPM in one process."""

import secrets
from pathlib import Path

from processes import BenchError, Service

MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", "auth_openidc")

SESSION_COOKIES = [f"mod_auth_openidc_session{rest}" for rest in ("", "_chunks", "_0", "_1", "_2")]


def start_apache(issuer, upstream_port, port, client_id, client_secret, redirect_path, cores, folder):
    """Debian's apache2, with a configuration of its own."""
    if not (MODULES / "mod_auth_openidc.so").is_file():
        raise BenchError("Apache's mod_auth_openidc is missing (Debian: libapache2-mod-auth-openidc)")
    home = Path(folder) / "apache"
    home.mkdir()
    home.chmod(0o755)
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    file = home / "httpd.conf"
    file.touch(mode=0o600)
    file.write_text(f"""
ServerRoot {home}
ServerName 127.0.0.1
PidFile {home}/pid
DefaultRuntimeDir {home}
Listen 127.0.0.1:{port}
ListenBackLog 4096
{modules}
User www-data
Group www-data
ErrorLog {home}/error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog {home}/access.log combined

# One process with more threads than there are connections.
StartServers 1
ServerLimit 1
ThreadLimit 128
ThreadsPerChild 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 75
LimitRequestFieldSize 32768

OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCRedirectURI http://127.0.0.1:{port}{redirect_path}
OIDCCryptoPassphrase {secrets.token_urlsafe(32)}
OIDCScope "openid profile offline_access"
OIDCPKCEMethod S256
OIDCSessionType client-cookie
OIDCSessionInactivityTimeout 28800
OIDCPassClaimsAs environment
OIDCPassRefreshToken Off
OIDCStripCookies {" ".join(SESSION_COOKIES)}

ProxyPass /api http://127.0.0.1:{upstream_port}/api keepalive=On max=128
<Location /api>
  AuthType openid-connect
  Require valid-user
  RequestHeader set Authorization "Bearer %{{OIDC_access_token}}e" env=OIDC_access_token
</Location>
""")
    return Service("apache", ["apache2", "-f", file, "-D", "FOREGROUND"], cores.proxy, folder)
