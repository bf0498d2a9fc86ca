"""Rounds: every case of a load has its turn in each, so that what else the machine does meets all of them alike."""

import http.client
import ssl
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from peers import NotSupported, Running, Stage, Subject
from plan import Case, Load
from traffic import Sample, SendFailed, Sender, idle_connections

# For which a server may take until it has its keys.
PATIENCE = 20.0


@dataclass
class Row:
    """What a case came to: the medians over its rounds, or why it was left out."""

    case: Case
    samples: list[Sample] = field(default_factory=list)
    left_out: str = ""
    idle_bytes: float = 0.0  # of memory, for each idle connection, when they were opened for the first time

    @property
    def name(self) -> str:
        return self.case.name

    def _median(self, of) -> float:
        return statistics.median(map(of, self.samples))

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for a request."""
        return self._median(cpu_us)

    @property
    def cpu_range(self) -> tuple[float, float]:
        return min(map(cpu_us, self.samples)), max(map(cpu_us, self.samples))

    @property
    def rate(self) -> float:
        """Requests a second, as they were answered."""
        return self._median(lambda sample: sample.requests / sample.seconds)

    @property
    def failed(self) -> int:
        return sum(sample.failed for sample in self.samples)

    def latency(self, quantile: str) -> float:
        return self._median(lambda sample: sample.latency[quantile])


def cpu_us(sample: Sample) -> float:
    return sample.cpu / sample.requests * 1e6


def run(load: Load, stage: Stage, rounds: int, seconds: int) -> list[Row]:
    """Starts what the load asks for, sees that each does what it should, and lets them take turns."""
    sender = Sender(stage.programs, stage.tokens, stage.directory)
    with ExitStack() as stack:
        rows, running = [], {}
        for case in load.cases:
            row = Row(case)
            rows.append(row)
            try:
                running[case.name] = started(case.subject, stage, stack, running)
            except NotSupported as reason:
                row.left_out = str(reason)
        turns = [row for row in rows if not row.left_out]
        for row in turns:
            behaves(row.case.subject, running[row.name], stage)
        for row in turns:
            warm_up(row, running[row.name], sender, rounds, load.warm_up)
        for number in range(rounds):
            say(f"{load.title}: round {number + 1} of {rounds}")
            for row in turns if number % 2 == 0 else reversed(turns):
                one_round(row, running[row.name], sender, number, seconds)
        return rows


def started(subject: Subject, stage: Stage, stack: ExitStack, running: dict[str, Running]) -> Running:
    """The subject's server, which it may share."""
    if subject.server.program not in stage.programs:
        raise NotSupported(f"{subject.server.program} is not installed")
    for other in running.values():
        if other.server == subject.server:
            return other
    new = subject.server.start(stage)
    stack.enter_context(new.process)
    return new


def warm_up(row: Row, running: Running, sender: Sender, number: int, seconds: int) -> None:
    """A round that does not count, so that caches are full and connections made."""
    one_round(row, running, sender, number, seconds)
    row.idle_bytes = max((sample.idle_bytes for sample in row.samples), default=0)
    row.samples.clear()


def one_round(row: Row, running: Running, sender: Sender, number: int, seconds: int) -> None:
    """One turn of one case, unless it failed before."""
    if row.left_out:
        return
    try:
        row.samples.append(counted(row.case, running, sender, number, seconds))
    except SendFailed as reason:
        row.left_out = str(reason)


def counted(case: Case, running: Running, sender: Sender, number: int, seconds: int) -> Sample:
    """What a round said, and what it cost the proxy."""
    url = case.subject.url(running, case.traffic.path)
    idle_bytes = 0.0
    with ExitStack() as stack:
        if case.traffic.idle:
            before = running.process.resident_bytes()
            parts = urlsplit(url)
            idle = idle_connections(case.traffic.idle, parts.port, parts.path, first_token(sender.tokens / "good"))
            stack.enter_context(idle)
            idle_bytes = (running.process.resident_bytes() - before) / case.traffic.idle
        before = running.process.cpu_seconds()
        sample = sender.send(case.traffic, url, number, seconds)
        cpu = running.process.cpu_seconds() - before
    return replace(sample, cpu=cpu, idle_bytes=idle_bytes)


def behaves(subject: Subject, running: Running, stage: Stage) -> None:
    """A proxy that lets the wrong ones through, or nobody, would be fast: it is not measured."""
    path = "service-7/1" if not subject.base else "1"
    url = subject.url(running, path)
    good = first_token(stage.tokens / "good")
    await_answer(url, good, 200, subject, running)
    if not subject.verifies:
        return
    for kind in ("expired", "forged", "foreign"):
        expect(url, first_token(stage.tokens / kind), (401, 403), f"{subject.name}: a token that is {kind}")
    expect(url, None, (401, 403), f"{subject.name}: no token")
    if subject.base == "/items":
        _, body = ask(subject.url(running, "whoami"), good)
        if body != b"00000000-93e8-4f6d-8c5b-2a1f0e9d8c7b":
            raise SystemExit(f"{subject.name}: the upstream is not told who asks, but {body!r}")


def await_answer(url: str, token: str, status: int, subject: Subject, running: Running) -> None:
    """Returns once the server answers so: its keys may still be on their way."""
    end = time.monotonic() + PATIENCE
    while (answer := ask(url, token))[0] != status:
        if time.monotonic() > end:
            raise SystemExit(f"{subject.name}: a good token is answered {answer}; see {running.process.log}")
        time.sleep(0.1)


def expect(url: str, token: str | None, statuses: tuple[int, ...], what: str) -> None:
    status, _ = ask(url, token)
    if status not in statuses:
        raise SystemExit(f"{what} is answered {status}")


def ask(url: str, token: str | None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme == "https":
        anyone = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=5, context=anyone)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", parts.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def first_token(file) -> str:
    with file.open() as tokens:
        return tokens.readline().strip()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
