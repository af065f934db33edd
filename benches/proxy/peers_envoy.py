"""Envoy with its OAuth2 filter, one worker thread; the binary is the one that the tests of deploy/ install."""

import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from processes import BenchError, Service
from servers import ROOT

BINARY = ROOT / "tests/.venv/bin/envoy"
TYPES = "type.googleapis.com/envoy.extensions"


def start_envoy(issuer, upstream_port, port, client_id, client_secret, redirect_path, cores, folder):
    """Envoy with a bootstrap of its own, in JSON, which is YAML."""
    if not BINARY.exists():
        raise BenchError("Envoy is missing: run `BENCH_PEERS=1 make bench-proxy`")
    secret = {"client": client_secret, "hmac": secrets.token_urlsafe(32)}
    oauth = oauth_filter(issuer, port, client_id, redirect_path)
    bootstrap = {
        "static_resources": {
            "secrets": [
                {"name": name, "generic_secret": {"secret": {"inline_string": value}}} for name, value in secret.items()
            ],
            "clusters": [cluster("api", upstream_port), cluster("provider", urlsplit(issuer).port)],
            "listeners": [listener(port, oauth, f"{folder}/envoy-access.log")],
        },
    }
    file = Path(folder) / "envoy.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(bootstrap))
    command = [BINARY, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn", "-c", file]
    return Service("envoy", command, cores.proxy, folder)


def oauth_filter(issuer, port, client_id, redirect_path):
    """The OAuth2 filter as its documentation shows it."""
    return {
        "name": "envoy.filters.http.oauth2",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.oauth2.v3.OAuth2",
            "config": {
                "token_endpoint": {"cluster": "provider", "uri": f"{issuer}/token", "timeout": "10s"},
                "authorization_endpoint": f"{issuer}/auth",
                "redirect_uri": f"http://127.0.0.1:{port}{redirect_path}",
                "redirect_path_matcher": {"path": {"exact": redirect_path}},
                "signout_path": {"path": {"exact": "/signout"}},
                "auth_type": "BASIC_AUTH",
                "auth_scopes": ["openid", "profile", "offline_access"],
                "forward_bearer_token": True,
                "credentials": {
                    "client_id": client_id,
                    "token_secret": {"name": "client"},
                    "hmac_secret": {"name": "hmac"},
                },
            },
        },
    }


def listener(port, oauth, log):
    """One listener whose requests all pass the filter."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "api",
        "access_log": [
            {"name": "file", "typed_config": {"@type": f"{TYPES}.access_loggers.file.v3.FileAccessLog", "path": log}}
        ],
        "http_filters": [oauth, router],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "api",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api"}}],
                }
            ]
        },
    }
    return {
        "name": "api",
        "address": address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def cluster(name, port):
    """One server on the loopback interface."""
    endpoint = {"endpoint": {"address": address(port)}}
    return {
        "name": name,
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def address(port):
    """That port on 127.0.0.1."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
