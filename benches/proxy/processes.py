"""Child processes: pinned to cores, ended with the benchmark, and what the kernel says that they cost.

Never measures itself: what is counted is a service's own process group, all of its processes and threads.
"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Why there is no result, as a sentence for people."""


class Cores:
    """Who runs where: the proxy alone on one core, the upstream and the load on the other."""

    def __init__(self):
        available = sorted(os.sched_getaffinity(0))
        if len(available) < 2:
            raise BenchError("two processor cores are needed: one for the proxy, one for the load and the upstream")
        self.proxy = {available[0]}
        self.load = {available[1]}
        # Two workers need two cores; where there are but two, the second is the one that carries the load.
        self.two = {available[0], available[2] if len(available) > 2 else available[1]}


class Service:
    """A server that runs until `stop`, in a process group of its own."""

    running = []

    def __init__(self, name, command, cores, folder, stdin=None, env=None, stdout=None):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                cwd=folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        Service.running.append(self)

    def wait_for_port(self, port, within=60):
        """Returns once somebody accepts connections there."""
        self.wait_until(f"port {port}", lambda: accepts(port), within)

    def wait_until(self, what, is_so, within=60, pause=0.02):
        """Returns once `is_so()`; fails when the process ends before that, or the time is over."""
        deadline = time.monotonic() + within
        while not is_so():
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: waited {within} s in vain for {what}: {self.last_words()}")
            time.sleep(pause)

    def last_words(self):
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2_000:].strip()

    def pids(self):
        """Every process of its group."""
        group = self.process.pid
        pids = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := stat_fields(entry)) and int(fields[2]) == group:
                pids.append(int(entry))
        return pids

    def cpu_seconds(self):
        """utime + stime of all its threads, in steps of a clock tick (10 ms)."""
        ticks = 0
        for pid in self.pids():
            if fields := stat_fields(pid):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def resident_kib(self):
        """Resident memory of its processes; pages that several share are counted once."""
        return sum(proportional_kib(pid) for pid in self.pids())

    def stop(self):
        """Ends it and whatever it started."""
        if self in Service.running:
            Service.running.remove(self)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                continue

    @staticmethod
    def stop_all():
        """Ends all that run, the newest first."""
        for service in reversed(list(Service.running)):
            service.stop()


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name, so that state is 0; none when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def proportional_kib(pid):
    """Pss from the kernel; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def accepts(port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_next_port = 24_000 + os.getpid() % 60 * 100


def free_port():
    """A port that nobody listens on, below those that the kernel hands out, each given once."""
    global _next_port
    while True:
        _next_port += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue
