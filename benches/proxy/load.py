"""Load on one row: wrk, pinned beside the upstream, and what the proxy's processes spent meanwhile.

A result with a single failed or foreign answer is none: whoever refuses requests is fast.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from processes import BenchError

SCRIPT = Path(__file__).with_name("wrk.lua")
CONNECTIONS = 64

# What a browser's `fetch` from the app's own page sends beside its cookies; every row gets it.
BROWSER_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "application/json",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
    "X-CSRF": "1",
}


@dataclass(frozen=True)
class Row:
    """What is measured: a running proxy, and the request that it gets."""

    name: str
    title: str
    service: object
    url: str
    cookie: str = ""

    def headers(self):
        """The request's header fields, but for Host."""
        return {**BROWSER_HEADERS, **({"Cookie": self.cookie} if self.cookie else {})}


@dataclass(frozen=True)
class Measurement:
    """One row in one round."""

    requests_per_second: float
    cpu_microseconds: float
    cpu_share: float
    p50_microseconds: int
    p99_microseconds: int
    resident_kib: int


def measure(row, seconds, cores, upstream):
    """Puts load on a row for some seconds."""
    served_before = upstream.served()
    cpu_before = row.service.cpu_seconds()
    result = wrk(row, seconds, cores)
    cpu = row.service.cpu_seconds() - cpu_before
    served = upstream.served() - served_before
    check(row, result, served, upstream.body_bytes)
    return Measurement(
        requests_per_second=result["requests"] / (result["microseconds"] / 1e6),
        cpu_microseconds=cpu * 1e6 / result["requests"],
        cpu_share=cpu / (result["microseconds"] / 1e6),
        p50_microseconds=result["p50"],
        p99_microseconds=result["p99"],
        resident_kib=row.service.resident_kib(),
    )


def wrk(row, seconds, cores):
    """Runs wrk and gives what wrk.lua prints."""
    fields = [word for name, value in row.headers().items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=10s", "-s", str(SCRIPT), *fields, row.url]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        preexec_fn=lambda: os.sched_setaffinity(0, cores.load),
    )
    line = next((line for line in run.stdout.splitlines() if line.startswith("RESULT ")), None)
    if run.returncode != 0 or line is None:
        raise BenchError(f"wrk failed on {row.name}: {run.stdout[-500:]}{run.stderr[-500:]}")
    return json.loads(line.removeprefix("RESULT "))


def check(row, result, served, body_bytes):
    """Every request has to be answered by the upstream, with its body."""
    errors = {kind: result[kind] for kind in ("connect", "read", "write", "status", "timeout") if result[kind]}
    if errors or result["requests"] == 0:
        raise BenchError(f"{row.name}: {result['requests']} requests, failed: {errors}. {row.service.last_words()}")
    if served < result["requests"]:
        raise BenchError(f"{row.name}: {result['requests']} answers, but the upstream gave only {served} of them")
    if result["bytes"] < result["requests"] * body_bytes:
        raise BenchError(f"{row.name}: the answers are too short to be the upstream's")
