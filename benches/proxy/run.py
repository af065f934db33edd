"""`make bench-proxy`: what an authenticated request through Sealgate costs, beside nginx that only forwards it.

All proxies run at the same time and get load in turn, a few seconds each and round after round, the order reversed
every other round; so what else the machine does falls on all of them. Compared is within a round, and the median of
the rounds counts. docs/benchmarks.md says what can be set.
"""

import os
import shutil
import signal
import sys
import tempfile
from statistics import median

import peers
import report
import servers
from load import measure
from processes import BenchError, Cores, Service
from provider import Provider

START_UPS = 7


def main():
    rounds, seconds = number("BENCH_ROUNDS", 7), number("BENCH_SECONDS", 4)
    wanted = os.environ.get("BENCH_ROWS", "").split()
    folder = tempfile.mkdtemp(prefix="sealgate-bench-")
    os.chmod(folder, 0o755)
    servers.find_system_binaries()
    # An interrupt and a SIGTERM alike end what was started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(run(folder, rounds, seconds, wanted))
    except BenchError as error:
        sys.exit(f"bench-proxy: {error}")
    except KeyboardInterrupt:
        sys.exit("bench-proxy: interrupted")
    finally:
        Service.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def run(folder, rounds, seconds, wanted):
    """Measures and gives what people read; writes the document when it is told to."""
    cores = Cores()
    os.sched_setaffinity(0, cores.load)
    binary = servers.default_binary()
    provider = Provider(cores, folder)
    upstream = servers.Upstream(cores, folder)
    rows, sealgate = servers.rows(binary, provider, upstream, cores, folder)
    versions = ()
    if os.environ.get("BENCH_PEERS"):
        rows += peers.rows(provider, upstream, cores, folder)
        versions = tuple(peers.versions())
    rows = chosen(rows, wanted)
    for row in rows:
        servers.check_row(row)
    minutes = len(rows) * (rounds * seconds + 1) // 60 + 1
    say(f"{len(rows)} rows, {rounds} rounds of {seconds} s each: about {minutes} min")
    others = os.getloadavg()[0]
    start_ups = sealgate.start_ups(cores.proxy, START_UPS)
    for row in rows:
        measure(row, 1, cores, upstream)
    measured = {row.name: [] for row in rows}
    for turn in range(rounds):
        say(f"round {turn + 1} of {rounds}")
        for row in rows if turn % 2 == 0 else reversed(rows):
            measured[row.name].append(measure(row, seconds, cores, upstream))
    facts = report.Facts(
        binary=binary,
        cookie=next(row.cookie for row in rows if row.cookie),
        start_milliseconds=median(milliseconds for milliseconds, _ in start_ups),
        rest_kib=median(kib for _, kib in start_ups),
        load_average=others,
        rounds=rounds,
        seconds=seconds,
        versions=versions,
    )
    results = report.summarise(rows, measured, servers.NGINX_PROXY)
    if os.environ.get("BENCH_WRITE"):
        report.write(results, facts)
    return report.for_terminal(results, facts)


def chosen(rows, wanted):
    """All rows, or those of BENCH_ROWS and the one that they are compared with."""
    unknown = set(wanted) - {row.name for row in rows}
    if unknown:
        known = " ".join(row.name for row in rows)
        raise BenchError(f"BENCH_ROWS names {' '.join(sorted(unknown))}, and there are: {known}")
    return [row for row in rows if not wanted or row.name in wanted or row.name == servers.NGINX_PROXY]


def number(name, default):
    """A positive whole number of the environment."""
    text = os.environ.get(name, "") or str(default)
    if not text.isdecimal() or int(text) == 0:
        sys.exit(f"bench-proxy: {name} must be a positive whole number, not {text!r}")
    return int(text)


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
