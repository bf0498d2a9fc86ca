"""Measures the proxy next to its peers: `make bench-peers`.

ROUNDS, SECONDS (of each round) and LOADS (separated by commas) of the environment change what is done. Only a run of every
load is written down; what some loads say is printed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import machine
import measure
import peers
import plan
import programs
import report
from machine import LOAD_CORE, Process
from traffic import GOOD_TOKENS

# Tokens are good for a day. Those of a run that ended less than half of one ago are taken again.
TOKENS_LAST = 12 * 60 * 60


def main() -> None:
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = int(os.environ.get("ROUNDS") or 5)
    seconds = int(os.environ.get("SECONDS") or 0) or None
    wanted = [key for key in os.environ.get("LOADS", "").split(",") if key]
    begun = time.monotonic()

    machine.raise_file_limit()
    found = programs.prepare()
    tokens = mint(found)
    busy_before = machine.busy_share()
    with ExitStack() as stack:
        stage = set_stage(found, tokens, stack)
        loads, results = run(stage, wanted, rounds, seconds)

    minutes = (time.monotonic() - begun) / 60
    done = report.Run(
        date=date.today().isoformat(),
        machine=machine.description(),
        versions=found.versions,
        rounds=rounds,
        seconds=seconds,
        loads=loads,
        results=results,
        busy=max(busy_before, machine.busy_share()),
        minutes=minutes,
    )
    if wanted:
        print("\n\n".join(report.section(done, load) for load in loads))
    else:
        print(report.write(done))


def run(stage: peers.Stage, wanted: list[str], rounds: int, seconds: int | None):
    """Every load that is wanted, in order, and last the latencies, if it is known at which rate."""
    unknown = set(wanted) - {load.key for load in plan.LOADS} - {"latency"}
    if unknown:
        raise SystemExit(f"no load is called {', '.join(sorted(unknown))}")
    has_latency = not wanted or "latency" in wanted
    needed = {*wanted, plan.MAIN.key} if has_latency else {*wanted}
    loads = [load for load in plan.LOADS if not wanted or load.key in needed]
    results = {}
    for load in loads:
        results[load.key] = measure.run(load, stage, rounds, seconds or load.seconds)
    if has_latency:
        slowest = min(row.rate for row in results["main"] if row.case.subject in plan.VERIFYING and row.samples)
        load = plan.latency(int(slowest * plan.LATENCY_SHARE) // 100 * 100)
        loads.append(load)
        results[load.key] = measure.run(load, stage, rounds, seconds or load.seconds)
    return tuple(loads), results


def mint(found: programs.Programs) -> Path:
    """The tokens, new ones if there are none or they are about to expire."""
    tokens = programs.PEERS / "tokens"
    last = tokens / "foreign"
    if not last.exists() or time.time() - last.stat().st_mtime > TOKENS_LAST:
        measure.say(f"minting {GOOD_TOKENS:,} tokens")
        shutil.rmtree(tokens, ignore_errors=True)
        arguments = f"--count {GOOD_TOKENS} --issuer {peers.ISSUER} --client {peers.CLIENT}".split()
        subprocess.run([found["mint"], *arguments, tokens], check=True)
    return tokens


def set_stage(found: programs.Programs, tokens: Path, stack: ExitStack) -> peers.Stage:
    """What all proxies share: a certificate, and an upstream that runs until the stack is left."""
    directory = programs.PEERS / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    port = machine.free_ports(1)[0]
    values = {
        "client": peers.CLIENT,
        "directory": directory,
        "escaped_issuer": peers.ISSUER.replace("://", r":\/\/"),
        "issuer": peers.ISSUER,
        "pool": peers.POOL,
        "tokens": tokens,
        "upstream": port,
        "user": peers.user(),
    }
    (directory / "big").write_bytes(bytes(100 * 1024))
    upstream = stack.enter_context(
        Process(peers.upstream(found["nginx"], directory, values), LOAD_CORE, directory / "log")
    )
    machine.await_ports(upstream, [port])
    return peers.Stage(found, directory, tokens, certificate(found, directory), values)


def certificate(found: programs.Programs, directory: Path) -> tuple[Path, ...]:
    """For localhost, signed by itself: as two files, and as one for HAProxy."""
    key, cert, both = directory / "tls.key", directory / "tls.crt", directory / "tls.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split()
    request += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    subprocess.run([found["openssl"], *request], check=True, capture_output=True)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return key, cert, both


if __name__ == "__main__":
    main()
