"""`make bench-count`: the instructions that a request takes in user space, in the whole running server.

Sealgate runs under Callgrind, with the same request as in `make bench-proxy`; what is counted lies between two moments of
the load, and is divided by the requests. Unlike a time it is nearly the same in every run, whatever else the machine does.
It says nothing of the kernel's work, and counts each byte that `rep stosb` clears as an instruction.
"""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import servers
from load import Row, wrk
from processes import BenchError, Cores, Service
from provider import Provider

WARM_UP, SECONDS = 2, 8
ROUTES = {"session": "/api/orders", "none": "/public/orders"}


def main():
    folder = tempfile.mkdtemp(prefix="sealgate-count-")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for mode, count in run(folder).items():
            print(f'auth = "{mode}": {count:,} instructions a request')
    except BenchError as error:
        sys.exit(f"bench-count: {error}")
    except KeyboardInterrupt:
        sys.exit("bench-count: interrupted")
    finally:
        Service.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def run(folder):
    """Instructions a request, by the mode of its route."""
    Path(folder).chmod(0o755)
    servers.find_system_binaries()
    cores = Cores()
    provider = Provider(cores, folder)
    upstream = servers.Upstream(cores, folder)
    binary = under_callgrind(servers.default_binary(), Path(folder))
    gate = servers.Sealgate(binary, provider, upstream, folder)
    service, url = gate.start("sealgate", cores.proxy, port=gate.port)
    cookie = gate.sign_in()
    return {
        mode: instructions(Row(mode, mode, service, url + path, cookie), cores, Path(folder))
        for mode, path in ROUTES.items()
    }


def under_callgrind(binary, folder):
    """A command like `binary` whose `serve` counts once it is told to."""
    wrapper = folder / "sealgate"
    valgrind = f"valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file={folder}/callgrind"
    binary = shlex.quote(str(Path(binary).resolve()))
    wrapper.write_text(f'#!/bin/sh\n[ "$1" != serve ] || exec {valgrind} {binary} "$@"\nexec {binary} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def instructions(row, cores, folder):
    """Those of one request of this row, on average."""
    wrk(row, WARM_UP, cores)
    control(row, "-z")
    control(row, "-i", "on")
    answered = wrk(row, SECONDS, cores)["requests"]
    control(row, "-i", "off")
    before = set(folder.glob("callgrind.*"))
    control(row, "-d")
    dumps = set(folder.glob("callgrind.*")) - before
    totals = [re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE) for dump in dumps]
    if len(totals) != 1 or not totals[0] or not answered:
        raise BenchError(f"Callgrind counted nothing: {row.service.last_words()}")
    return round(int(totals[0][1]) / answered)


def control(row, *arguments):
    """Tells Callgrind what to do."""
    command = ["callgrind_control", *arguments, str(row.service.process.pid)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    main()
