"""The certified npm `oidc-provider` of the tests, with an account whose tokens have the shape and the size of Microsoft
Entra ID's: 1,900 characters of access token, 950 of refresh token, 1,300 of ID token.

The claims are those of tests/cookie_size/samples.rs; identifiers are random, so that nothing compresses by luck.
"""

import http.client
import json
import secrets
import subprocess
import uuid
from pathlib import Path

from processes import BenchError, Service

FOLDER = Path(__file__).parents[2] / "tests" / "provider"
LIFETIME_SECONDS = 8 * 3600


class Provider:
    """A running provider that signs in whoever comes."""

    def __init__(self, cores, folder):
        if not (FOLDER / "node_modules/oidc-provider").is_dir():
            raise BenchError(f"the test provider is not installed: run `make bench-proxy`, or `npm ci` in {FOLDER}")
        command = ["node", FOLDER / "provider.mjs", json.dumps(options())]
        self.service = Service(
            "provider", command, cores.load, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        line = self.service.process.stdout.readline()
        if not line:
            raise BenchError(f"the provider does not start: {self.service.last_words()}")
        ready = json.loads(line)
        self.issuer, self.port = ready["issuer"], ready["port"]

    def register(self, client_id, redirect_uri):
        """Registers a client (RFC 7591 §2) and gives its secret."""
        secret = secrets.token_urlsafe(32)
        client = {
            "client_id": client_id,
            "client_secret": secret,
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "client_secret_basic",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/__test/clients", json.dumps(client), {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        if status != 201:
            raise BenchError(f"the provider refuses the client {client_id} with {status}")
        return secret


def options():
    """What provider.mjs is told."""
    tenant, session, object_id = (str(uuid.uuid4()) for _ in range(3))
    shared = {
        "aio": random_text(68),
        "email": "ada.lovelace@contoso.com",
        "name": "Ada Lovelace",
        "oid": object_id,
        "preferred_username": "ada.lovelace@contoso.com",
        "rh": f"1.A{random_text(46)}.",
        "tid": tenant,
        "uti": random_text(22),
        "ver": "2.0",
    }
    access_token = {
        **shared,
        "acct": 0,
        "acr": "1",
        "amr": ["pwd", "mfa"],
        "azp": str(uuid.uuid4()),
        "azpacr": "1",
        "family_name": "Lovelace",
        "given_name": "Ada",
        "groups": [str(uuid.uuid4()) for _ in range(3)],
        "roles": ["Orders.Read", "Orders.Approve"],
        "scp": "Orders.Read Orders.Write access_as_user",
        "sid": session,
        "xms_ftd": random_text(44),
    }
    id_token = {**shared, "aio": random_text(112), "xms_sid": session, "xms_sub": random_text(43)}
    return {
        "jwtAccessTokens": True,
        "accessTokenTtl": LIFETIME_SECONDS,
        "rotateRefreshToken": False,
        "accessTokenClaims": access_token,
        "profileClaims": list(id_token),
        "refreshTokenBits": 950 * 6,
        "accounts": {"ada": id_token},
    }


def random_text(characters):
    """Text of the base64url alphabet."""
    return secrets.token_urlsafe(characters)[:characters]
