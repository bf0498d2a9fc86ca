"""Processes on their cores, and what they cost.

The proxy under test has core 0 to itself; what asks it and what answers it share core 1. Every program runs in a session
of its own, so that all its processes are found, counted and stopped, and is told to stop should this process die first.
"""

import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = 1

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

# Ten thousand connections, and as many again from a proxy to its upstream.
OPEN_FILES = 65_536


def pinned(core: int, command: list) -> list[str]:
    """The command that runs `command` on one core only, and no longer than this process."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *map(str, command)]


class Process:
    """A program that runs until it is stopped. A context manager."""

    def __init__(self, command: list, core: int, log: Path):
        self.log = log
        with log.open("wb") as out:
            self._child = subprocess.Popen(
                pinned(core, command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_) -> None:
        """Ends the whole session at once: nobody is served, and nothing is worth an orderly stop."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def finish(self, seconds: float = 30.0) -> int:
        """Asks it to stop in order; its exit status, once it did."""
        self._child.terminate()
        return self._child.wait(seconds)

    def is_running(self) -> bool:
        return self._child.poll() is None

    def cpu_seconds(self) -> float:
        """The time that its processes were on a core, in user space and in the kernel."""
        return sum(int(stat[11]) + int(stat[12]) for stat in self._stats()) / TICKS_A_SECOND

    def resident_bytes(self) -> int:
        return sum(int(stat[21]) for stat in self._stats()) * PAGE

    def _stats(self):
        """The fields of `/proc/PID/stat` behind the name, for each process of the session."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[3]) == self._child.pid:
                yield stat


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_ports(process: Process, ports, seconds: float = 20.0) -> None:
    """Returns once each port takes connections."""
    end = time.monotonic() + seconds
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if not process.is_running() or time.monotonic() > end:
                    raise SystemExit(f"nothing listens on port {port}:\n{process.log.read_text()[-4000:]}") from None
                time.sleep(0.05)


def raise_file_limit() -> None:
    """As high as the benchmark needs, or as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, OPEN_FILES), max(hard, OPEN_FILES)))
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def description() -> dict[str, str]:
    """What a reader needs to know of this machine."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    system = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    is_virtual = "hypervisor" in Path("/proc/cpuinfo").read_text()
    return {
        "CPU": f"{len(cpu)} × {cpu[0]}{' (virtual)' if is_virtual else ''}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{system['PRETTY_NAME'].strip(chr(34))}, Linux {os.uname().release}",
    }


def busy_share(seconds: float = 2.0) -> float:
    """The share of all cores' time that somebody takes, or a hypervisor, while nothing is measured."""

    def times() -> list[int]:
        return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    before = times()
    time.sleep(seconds)
    passed = [after - earlier for earlier, after in zip(before, times(), strict=True)]
    idle, waiting = passed[3:5]
    return 1 - (idle + waiting) / sum(passed)
