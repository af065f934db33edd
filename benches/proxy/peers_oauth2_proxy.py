"""oauth2-proxy with the session in its cookie, configured with its alpha configuration, so that the access token becomes
`Authorization`. It is a Go module: `scripts/ensure-oauth2-proxy` builds it where Go is at hand.
"""

import json
import secrets
from pathlib import Path

from processes import Service
from servers import ROOT

BINARY = ROOT / "target/tools/oauth2-proxy"


def start_oauth2_proxy(issuer, upstream_port, port, client_id, client_secret, redirect_path, cores, folder):
    """One process; Go uses the one core that it is pinned to."""
    alpha = {
        "server": {"bindAddress": f"127.0.0.1:{port}"},
        "upstreamConfig": {"upstreams": [{"id": "api", "path": "/", "uri": f"http://127.0.0.1:{upstream_port}"}]},
        "injectRequestHeaders": [
            {"name": "Authorization", "values": [{"claimSource": {"claim": "access_token", "prefix": "Bearer "}}]}
        ],
        "providers": [
            {
                "id": "provider",
                "provider": "oidc",
                "clientID": client_id,
                "clientSecret": client_secret,
                "scope": "openid profile offline_access",
                "code_challenge_method": "S256",
                # The access token is the API's: the provider's UserInfo takes it from nobody.
                "skipClaimsFromProfileURL": True,
                "oidcConfig": {"issuerURL": issuer, "emailClaim": "sub", "audienceClaims": ["aud"]},
            }
        ],
    }
    settings = {
        "cookie_secret": secrets.token_hex(16),
        "cookie_secure": False,
        "email_domains": ["*"],
        "redirect_url": f"http://127.0.0.1:{port}{redirect_path}",
        "skip_provider_button": True,
    }
    files = {
        # JSON is YAML, and its strings, booleans and lists are TOML's.
        "oauth2-proxy.yaml": json.dumps(alpha),
        "oauth2-proxy.cfg": "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()),
    }
    for name, text in files.items():
        file = Path(folder) / name
        file.touch(mode=0o600)
        file.write_text(text)
    command = [BINARY, "--alpha-config", f"{folder}/oauth2-proxy.yaml", "--config", f"{folder}/oauth2-proxy.cfg"]
    return Service("oauth2-proxy", command, cores.proxy, folder)
