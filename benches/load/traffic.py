"""What is sent to a proxy: which tokens, over how many connections, by which program."""

import itertools
import json
import random
import re
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from machine import LOAD_CORE, pinned

HERE = Path(__file__).parent

# Longer than what any proxy answers in a round, so that a token which is to be new is new.
SEQUENCE = 200_000

GOOD_TOKENS = 100_000
DISTINCT = 1_000


# Each mix gives the lines of a sequence for wrk (see requests.lua): what a kind of token is called, and which one.


def none(_):
    return ["- 0"]


def one(_):
    return ["good 0"]


def thousand(_):
    return [f"good {at}" for at in range(DISTINCT)]


def expired(_):
    return [f"expired {at}" for at in range(DISTINCT)]


def forged(_):
    return [f"forged {at}" for at in range(DISTINCT)]


def zipf(_):
    """100,000 tokens, the nth of which is asked for 1/n as often as the first."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, GOOD_TOKENS + 1)))
    drawn = random.Random(1).choices(range(GOOD_TOKENS), cum_weights=weights, k=SEQUENCE)
    return [f"good {at}" for at in drawn]


def five_percent_unseen(round_number):
    """1,000 tokens, but every twentieth request brings one that was in no round before."""
    share = SEQUENCE // 20
    room = (GOOD_TOKENS - DISTINCT) // share
    unseen = itertools.count(DISTINCT + (round_number % room) * share)
    return [f"good {next(unseen) if at % 20 == 7 else at % DISTINCT}" for at in range(SEQUENCE)]


def twenty_percent_refused(_):
    """1,000 tokens, but of ten requests one has an expired token and one a forged token."""
    kinds = ["expired", "good", "good", "good", "good", "forged", "good", "good", "good", "good"]
    return [f"{kinds[at % 10]} {at % DISTINCT}" for at in range(SEQUENCE)]


@dataclass(frozen=True)
class Traffic:
    """What a round is made of. The fields are those of wrk, unless `streams` or `rate` say otherwise."""

    mix: object = thousand
    connections: int = 64
    path: str = "1"
    body: int = 0  # bytes, each way
    close: bool = False  # a new connection for every request
    idle: int = 0  # connections that are open beside those
    refused: float = 0.0  # the share of the answers that are to be 4xx
    streams: int = 0  # over HTTP/2, on each connection: h2load
    rate: int = 0  # requests a second, whatever comes back: pace


@dataclass(frozen=True)
class Sample:
    """What one round said. Latencies in microseconds."""

    requests: int
    seconds: float
    failed: int
    latency: dict[str, float]
    cpu: float = 0.0  # seconds of the proxy's
    idle_bytes: float = 0.0  # of memory, for each idle connection


class SendFailed(Exception):
    """A round in which more than one request in a hundred failed, or that did not come to its end: nothing was measured."""


@dataclass(frozen=True)
class Sender:
    """Sends traffic with the tokens in a directory; keeps its files in another."""

    programs: object
    tokens: Path
    directory: Path

    def send(self, traffic: Traffic, url: str, round_number: int, seconds: int) -> Sample:
        if traffic.streams:
            sample = self._h2load(traffic, url, seconds)
        elif traffic.rate:
            sample = self._pace(traffic, url, seconds)
        else:
            sample = self._wrk(traffic, url, round_number, seconds)
        if sample.failed * 100 >= sample.requests:
            raise SendFailed(f"{sample.failed} of {sample.requests} requests failed")
        return sample

    def _run(self, command: list) -> str:
        result = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True)
        if result.returncode:
            raise SendFailed(f"{Path(command[0]).name}: {(result.stdout + result.stderr).strip()}")
        return result.stdout

    def _wrk(self, traffic: Traffic, url: str, round_number: int, seconds: int) -> Sample:
        sequence = self.directory / "sequence"
        sequence.write_text("\n".join(traffic.mix(round_number)) + "\n")
        parts = urlsplit(url)
        options = f"-t 1 -c {traffic.connections} -d {seconds}s --timeout 10s -s".split()
        method, connection = "POST" if traffic.body else "GET", "close" if traffic.close else "keep-alive"
        arguments = [sequence, self.tokens, method, parts.path, traffic.body, connection]
        server = f"{parts.scheme}://{parts.netloc}/"
        said = self._run([self.programs["wrk"], *options, HERE / "requests.lua", server, "--", *arguments])
        result = json.loads(said.partition("RESULT ")[2])
        expected = round(result["requests"] * traffic.refused)
        # A sequence that is cut off anywhere has its shares but for a few requests.
        off = abs(result["refused"] - expected)
        failed = result["broken"] + (off if off > result["requests"] / 100 else 0)
        latency = {name: result[name] for name in ("p50", "p99", "p999")}
        return Sample(result["requests"], result["seconds"], failed, latency)

    def _h2load(self, traffic: Traffic, url: str, seconds: int) -> Sample:
        with (self.tokens / "good").open() as tokens:
            token = tokens.readline().strip()
        options = f"-t 1 -c {traffic.connections} -m {traffic.streams} -D {seconds} -H".split()
        said = self._run([self.programs["h2load"], *options, f"authorization: Bearer {token}", url])
        rate = float(re.search(r"([\d.]+) req/s", said)[1])
        succeeded, failed = map(int, re.search(r"(\d+) succeeded, (\d+) failed", said).groups())
        refused = sum(map(int, re.search(r"(\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said).groups()))
        return Sample(succeeded, succeeded / rate, failed + refused, {})

    def _pace(self, traffic: Traffic, url: str, seconds: int) -> Sample:
        parts = urlsplit(url)
        options = f"--distinct {DISTINCT} --rate {traffic.rate} --connections {traffic.connections} --seconds {seconds}"
        target = ["--address", parts.netloc, "--path", parts.path, "--tokens", self.tokens / "good"]
        result = json.loads(self._run([self.programs["pace"], *target, *options.split()]))
        return Sample(result["requests"], seconds, 0, {name: result[name] for name in ("p50", "p99", "p999")})


@contextmanager
def idle_connections(count: int, port: int, path: str, token: str):
    """So many connections that had one request each, and have nothing to say for now."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with ExitStack() as held:
        for number in range(count):
            try:
                connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
                connection.sendall(request)
                answer = connection.recv(4096)
            except OSError as reason:
                raise SendFailed(f"idle connection {number}: {reason}") from reason
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SendFailed(f"idle connection {number} was answered {answer[:30]!r}")
        yield
