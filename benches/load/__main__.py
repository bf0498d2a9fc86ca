"""Measures the proxy next to its peers: `make bench-peers`.

ROUNDS, SECONDS (of each round) and LOADS (separated by commas) of the environment change what is done. Only a run of every
load is written down; what some loads say is printed.
"""

import os
import signal
import sys
import time
from contextlib import ExitStack
from datetime import date

import machine
import measure
import peers
import plan
import programs
import report
from stage import mint, set_stage


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


if __name__ == "__main__":
    main()
