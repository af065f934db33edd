"""From measurements to what people read: a table for the terminal, one for docs/benchmarks.md, and its chart.

Nothing is written that was not measured in the same run.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median

from load import CONNECTIONS
from processes import BenchError
from servers import BODY_BYTES, NGINX_PROXY, ROOT

DOCUMENT = ROOT / "docs/benchmarks.md"
CHART = ROOT / "docs/images/bench-proxy.svg"
BEGIN, END = "<!-- measured: BENCH_WRITE=1 make bench-proxy -->", "<!-- end of what was measured -->"


@dataclass(frozen=True)
class Facts:
    """What was measured beside the rows, and how."""

    binary: Path
    cookie: str
    start_milliseconds: float
    rest_kib: float
    load_average: float
    rounds: int
    seconds: int
    versions: tuple = ()


@dataclass(frozen=True)
class Result:
    """A row's medians, and its ratio to the reference: the reference's CPU time a request divided by the row's."""

    name: str
    title: str
    requests_per_second: float
    cpu_microseconds: float
    cpu_share: float
    p50_microseconds: float
    p99_microseconds: float
    resident_kib: float
    ratio: float
    lowest_ratio: float
    highest_ratio: float
    cpu_by_round: tuple


def summarise(rows, measured, reference):
    """The results in the order of the rows; ratios are taken within a round."""
    results = []
    for row in rows:
        series = measured[row.name]
        ratios = [
            ours.cpu_microseconds / its.cpu_microseconds for ours, its in zip(measured[reference], series, strict=True)
        ]
        middle = {name: median(getattr(one, name) for one in series) for name in vars(series[0])}
        spread = {"ratio": median(ratios), "lowest_ratio": min(ratios), "highest_ratio": max(ratios)}
        by_round = tuple(one.cpu_microseconds for one in series)
        results.append(Result(row.name, row.title, **middle, **spread, cpu_by_round=by_round))
    return results


def microseconds(result):
    """CPU time a request; a decimal where it says something."""
    return f"{result.cpu_microseconds:,.{1 if result.cpu_microseconds < 100 else 0}f}"


COLUMNS = (
    ("requests/s", lambda it: f"{it.requests_per_second:,.0f}"),
    ("CPU µs a request", microseconds),
    ("ratio to nginx", lambda it: f"{it.ratio:.2f} ({it.lowest_ratio:.2f} to {it.highest_ratio:.2f})"),
    ("p50 ms", lambda it: f"{it.p50_microseconds / 1000:.2f}"),
    ("p99 ms", lambda it: f"{it.p99_microseconds / 1000:.2f}"),
    ("memory MiB", lambda it: f"{it.resident_kib / 1024:.1f}"),
    ("of a core", lambda it: f"{it.cpu_share * 100:.0f} %"),
)


def for_terminal(results, facts):
    """The table in columns, and the facts below it."""
    lines = [["", *(title for title, _ in COLUMNS)]]
    lines += [[it.title.replace("`", ""), *(show(it) for _, show in COLUMNS)] for it in results]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    table = "\n".join("  ".join(line) for line in padded)
    return "\n".join(["", table, "", *(f"{name}: {value}" for name, value in facts_of(results, facts))])


def facts_of(results, facts):
    """Names and values, for people."""
    by_name = {it.name: it for it in results}
    if "sealgate" in by_name and "nginx-log" in by_name:
        ours, logging = by_name["sealgate"], by_name["nginx-log"]
        ratio = logging.cpu_microseconds / ours.cpu_microseconds
        yield "Sealgate with a session to nginx with an access log, of the medians", f"{ratio:.2f}"
    for name in ("sealgate", "nginx"):
        one, two = by_name.get(name if name == "sealgate" else NGINX_PROXY), by_name.get(f"{name}-two")
        if one and two:
            rises = [its / ours - 1 for ours, its in zip(one.cpu_by_round, two.cpu_by_round, strict=True)]
            yield f"CPU a request with two workers, {name}, to one in the same round", f"{median(rises) * 100:+.0f} %"
    session = session_characters(facts.cookie)
    cookies = f"{len(facts.cookie):,} characters, {session:,} of them the session"
    yield "Cookies in a request to nginx (but in the first row) and to Sealgate", cookies
    yield "Start to readiness, the provider's metadata fetched", f"{facts.start_milliseconds:.0f} ms"
    yield "Memory at rest, after the start", f"{facts.rest_kib / 1024:.1f} MiB"
    yield "The binary", binary_size(facts.binary)
    rounds = f"{facts.rounds} rounds of {facts.seconds} s a row"
    yield "Load", f"{CONNECTIONS} connections, answers of {BODY_BYTES:,} bytes, {rounds}"
    yield "Machine", f"{machine()}; load average {facts.load_average:.1f} before the first round"
    yield "Versions", ", ".join(versions(facts))


def session_characters(cookie):
    """The value of the session's cookies, all chunks."""
    pairs = (pair.partition("=")[::2] for pair in cookie.split("; "))
    return sum(len(value) for name, value in pairs if re.fullmatch(r"(__Host-)?sealgate(\.\d)?", name))


def binary_size(binary):
    """As built, and without symbols where `strip` is at hand."""
    size = f"{binary.stat().st_size / 2**20:.1f} MiB"
    if not shutil.which("strip"):
        return size
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "stripped"
        subprocess.run(["strip", "-o", stripped, binary], check=True)
        return f"{size}, {stripped.stat().st_size / 2**20:.1f} MiB without symbols"


def machine():
    """The processor, its cores, the kernel, and what else it does."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    name = model.group(1) if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def versions(facts):
    """What took part."""
    yield first_line([facts.binary, "--version"])
    yield first_line(["nginx", "-v"]).removeprefix("nginx version: ").replace("/", " ")
    yield first_line(["wrk", "-v"]).split(" [")[0]
    yield from facts.versions


def first_line(command):
    """The first line that a command prints, on whichever output."""
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return (run.stdout + run.stderr).strip().splitlines()[0].strip()


def write(results, facts):
    """Renders the measured part of the document, and the chart."""
    text = DOCUMENT.read_text()
    if BEGIN not in text or END not in text:
        raise BenchError(f"{DOCUMENT} has no place for what was measured")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{markdown(results, facts)}\n\n{END}{after}")
    CHART.write_text(chart(results))


def markdown(results, facts):
    """Two tables: the rows, and the facts."""
    head = ["", *(title for title, _ in COLUMNS)]
    lines = [head, ["---", *("---:" for _ in COLUMNS)]]
    lines += [[it.title, *(show(it) for _, show in COLUMNS)] for it in results]
    rows = "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |", 1) for line in lines)
    others = "\n".join(f"| {name} | {value} |" for name, value in facts_of(results, facts))
    return f"{rows}\n\n| | |\n| --- | --- |\n{others}"


BAR, GAP, LEFT, TOP, WIDTH, LONGEST = 22, 12, 320, 58, 860, 400
CUT_AT = 6
"""A bar of more times the reference is drawn cut off: beside it the others could not be told apart."""


def chart(results):
    """Bars of CPU time a request, Sealgate's in another colour; readable on light and on dark pages."""
    reference = next(it for it in results if it.ratio == it.lowest_ratio == it.highest_ratio == 1)
    scale = LONGEST / min(max(it.cpu_microseconds for it in results), CUT_AT * reference.cpu_microseconds)
    height = TOP + len(results) * (BAR + GAP) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">CPU time of the proxy for one request, in microseconds</title>',
        "<style>text{font:14px system-ui,sans-serif;fill:#1f2328}.h{font-size:16px;font-weight:600}.v{font-weight:600}"
        ".n{fill:#8c959f}.s{fill:#0969da}.p{fill:#bf8700}.cut{stroke:#fff;stroke-width:4}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff" stroke="#d1d9e0"/>',
        '<text class="h" x="20" y="34">CPU µs a request (and the ratio to nginx that forwards the same cookie)</text>',
    ]
    for number, it in enumerate(results):
        parts += bar(it, TOP + number * (BAR + GAP), it.cpu_microseconds * scale)
    return "\n".join([*parts, "</svg>", ""])


def bar(result, y, length):
    """One row of the chart."""
    kind = {"nginx": "n", "sealgate": "s"}.get(result.name.split("-")[0], "p")
    title = result.title.replace("`", "").split(" (")[0]
    shown = min(length, LONGEST)
    yield f'<text x="{LEFT - 12}" y="{y + 16}" text-anchor="end">{escape(title)}</text>'
    yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{shown:.1f}" height="{BAR}" rx="3"/>'
    if length > LONGEST:
        x = LEFT + shown - 40
        yield f'<path class="cut" d="M{x} {y + BAR + 2}l10 -{BAR + 4}m8 0l-10 {BAR + 4}"/>'
    figures = f"{microseconds(result)} ({result.ratio:.2f})"
    yield f'<text class="v" x="{LEFT + shown + 8:.1f}" y="{y + 16}">{figures}</text>'
