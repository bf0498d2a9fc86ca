"""Counts the instructions of what a request costs: `make bench-instructions`.

Compares them with those of `benches/instructions.json`, and fails if a case needs more. `--renew` writes them anew.

callgrind shows every program the same processor, as long as the real one has AVX2, and what is counted does not depend on
the load: two runs differ by less than 0.1 %. What may differ between machines:

- The cryptographic library has code for several processors. What a bare signature check takes is told apart, and taken off
  the cases that contain one: what is left differs by 0.1 % between the oldest code and the newest.
- The C library has too, for copies and comparisons of bytes, and its versions differ by some instructions.
- A duration is counted in a bucket that is looked for from the shortest on: a slow machine takes a few instructions more.
- The compiler makes the rest: `rust-toolchain.toml` pins it, and a new one wants a new baseline.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BASELINE = ROOT / "benches/instructions.json"
PROFILE = "instructions"

# What one was counted on says nothing of another.
MACHINE = "x86_64"

# The share by which a case may differ from the baseline.
TOLERANCE = 0.03

SIGNATURE = "bare_signature"
WITH_SIGNATURE = ("token/new", "refused/bad_signature")


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts the instructions of what a request costs")
    parser.add_argument("--renew", action="store_true", help=f"write {BASELINE.relative_to(ROOT)} anew")
    renews = parser.parse_args().renew

    prepare()
    counts = without_signature(count_all())
    signature = counts.pop(SIGNATURE)
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    print(table(counts, baseline))
    print(f"\nNot compared: the bare signature check, {signature:,} more for {' and '.join(WITH_SIGNATURE)}.")

    if platform.machine() != MACHINE:
        print(f"Nothing is compared: the baseline is of {MACHINE}.")
    elif renews:
        BASELINE.write_text(json.dumps(counts, indent=2) + "\n")
        print(f"Written to {BASELINE.relative_to(ROOT)}.")
    else:
        sys.exit("\n".join(faults(counts, baseline)) or None)


def prepare() -> None:
    subprocess.run([ROOT / "tests/programs", "valgrind"], check=True)
    build = ["cargo", "build", "--locked", "--profile", PROFILE, "--package", "benches", "--bin", "instructions"]
    subprocess.run(build, cwd=ROOT, check=True)


def count_all() -> dict[str, int]:
    """The instructions of each case, in the order in which the program lists them."""
    names = subprocess.run([program()], capture_output=True, text=True, check=True).stdout.split()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(count, names), strict=True))


def program() -> Path:
    return TARGET / PROFILE / "instructions"


def count(case: str) -> int:
    """The instructions of one run of a case."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        command = [shutil.which("valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += ["--collect-atstart=no", "--toggle-collect=instructions::counted", "./instructions", case]
        # Variables and paths lie on the stack, and move what comes after them.
        result = subprocess.run(command, cwd=program().parent, env={}, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{case} failed:\n{result.stderr}")
        summary = next(line for line in out.read_text().splitlines() if line.startswith("summary:"))
    return round(int(summary.split()[1]) / int(result.stdout))


def without_signature(counts: dict[str, int]) -> dict[str, int]:
    signature = counts[SIGNATURE]
    return {name: count - signature if name in WITH_SIGNATURE else count for name, count in counts.items()}


def table(counts: dict[str, int], baseline: dict[str, int]) -> str:
    rows = [f"{'instructions':24}{'now':>10}{'baseline':>10}{'change':>10}"]
    for name, now in counts.items():
        before = baseline.get(name)
        compared = f"{before:>10,}{change(now, before):>+10.1%}" if before else f"{'none':>10}"
        rows.append(f"{name:24}{now:>10,}{compared}")
    return "\n".join(rows)


def change(now: int, before: int) -> float:
    return now / before - 1


def faults(counts: dict[str, int], baseline: dict[str, int]) -> list[str]:
    """What is wrong with the counts; what is wrong with the baseline is only said."""
    found = [f"{name} has no baseline: make bench-instructions RENEW=1" for name in counts if name not in baseline]
    found += [f"{name} is in the baseline and no case" for name in baseline if name not in counts]
    for name, now in counts.items():
        share = change(now, baseline.get(name, now))
        if share > TOLERANCE:
            found.append(f"{name} needs {share:.1%} more instructions than the baseline")
        elif share < -TOLERANCE:
            print(f"{name} needs {-share:.1%} less than the baseline, so renew it: make bench-instructions RENEW=1")
    return found


if __name__ == "__main__":
    main()
