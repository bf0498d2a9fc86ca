"""Builds the proxy laid out by a profile of its work: `make build-pgo`.

It builds the proxy so that it counts which way its code goes, lets it serve what a proxy serves, and builds it again with
what was counted: target/pgo/cognigate. Profiles differ a little from one training to the next, and so do the programs.

Of the code in C, which is aws-lc and mimalloc, nothing is counted or laid out anew.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import machine
import plan
import programs
import traffic
from measure import await_answer, first_token, say
from peers import Server, Stage, Subject
from programs import BY_PROFILE, ROOT, TARGET, Programs
from stage import mint, set_stage
from traffic import Sender, Traffic

PGO = TARGET / "pgo"
COUNTS = PGO / "counts"

# What is served, and for how many seconds. Their proportions are those of the profile: mostly what is let through, over kept
# connections, and some of everything that a client can make a proxy do often.
TRAINING: tuple[tuple[Subject, Traffic, int], ...] = (
    (plan.CACHED, Traffic(), 8),
    (plan.CACHED, Traffic(connections=4), 2),
    (plan.CACHED, Traffic(traffic.twenty_percent_refused, refused=0.2), 2),
    (plan.CACHED, Traffic(traffic.none, refused=1), 1),
    (plan.CACHED, Traffic(close=True), 1),
    (plan.CACHED, Traffic(path="big", body=100 * 1024), 2),
    (plan.OPEN, Traffic(), 3),
    (plan.COGNIGATE_TLS, Traffic(), 4),
    (plan.COGNIGATE_TLS, Traffic(close=True), 2),
    (plan.COGNIGATE_TLS, Traffic(connections=8, streams=100), 4),
    (plan.UNCACHED, Traffic(), 3),
    (plan.LIMITED, Traffic(), 3),
    (plan.LOGGED, Traffic(), 3),
    (plan.THOUSAND_ROUTES, Traffic(path="service-{n}/1"), 2),
)


def main() -> None:
    # So that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.raise_file_limit()
    merger = profdata()
    found = prepare()

    shutil.rmtree(COUNTS, ignore_errors=True)
    counting = build(f"-Cprofile-generate={COUNTS}")
    # It is overwritten by the second build.
    found.paths["cognigate"] = Path(shutil.copy(counting, PGO / "cognigate-counting"))
    train(found)

    profile = merged(merger)
    shutil.copy(build(f"-Cprofile-use={profile}"), BY_PROFILE)
    say(f"built {BY_PROFILE}")


def profdata() -> Path:
    """The program that reads the counts, which has to be of the compiler's own LLVM."""
    libraries = subprocess.run(
        ["rustc", "--print", "target-libdir"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    program = Path(libraries.strip()).parent / "bin/llvm-profdata"
    if not program.exists():
        rustup = shutil.which("rustup")
        if not rustup or subprocess.run([rustup, "component", "add", "llvm-tools"], cwd=ROOT).returncode:
            raise SystemExit(
                f"{program} is not there, and rustup cannot add it (rustup component add llvm-tools): without it there"
                " are no profiles. `make build` needs none."
            )
    return program


def prepare() -> Programs:
    """What trains the proxy."""
    subprocess.run([ROOT / "tests/programs", "nginx", "wrk"], check=True)
    programs.PEERS.mkdir(parents=True, exist_ok=True)
    programs.build("load")
    names = ("nginx", "wrk", "h2load", "openssl", "taskset", "setpriv")
    paths = {name: programs.on_path(name) for name in names} | {"mint": TARGET / "release/mint"}
    return Programs(paths, {})


def build(flag: str) -> Path:
    """The proxy as `make build` builds it, with one more flag for the compiler, but not for build scripts and macros: hence `--target`."""
    say(f"building with {flag}")
    said = subprocess.run(["rustc", "-vV"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    host = said.partition("host: ")[2].split()[0]
    environment = os.environ | {"RUSTFLAGS": f"{os.environ.get('RUSTFLAGS', '')} {flag}"}
    command = f"cargo build --locked --release --package cognigate --target {host} --target-dir".split()
    subprocess.run([*command, PGO], cwd=ROOT, env=environment, check=True)
    return PGO / host / "release/cognigate"


def train(found: Programs) -> None:
    """Every server in turn, with all that it is asked."""
    tokens = mint(found)
    with ExitStack() as stack:
        stage = set_stage(found, tokens, stack)
        for server in dict.fromkeys(subject.server for subject, _, _ in TRAINING):
            lessons = [lesson for lesson in TRAINING if lesson[0].server == server]
            serve(server, lessons, stage)


def serve(server: Server, lessons: list[tuple[Subject, Traffic, int]], stage: Stage) -> None:
    """Counts are written as the process ends, so it has to end by itself."""
    sender = Sender(stage.programs, stage.tokens, stage.directory)
    running = server.start(stage)
    with running.process:
        for number, (subject, sent, seconds) in enumerate(lessons):
            say(f"training: {subject.name}, {seconds} s")
            path = sent.path.replace("{n}", "0")
            await_answer(subject.url(running, path), first_token(stage.tokens / "good"), 200, subject, running)
            sender.send(sent, subject.url(running, sent.path), number, seconds)
        if running.process.finish():
            raise SystemExit(f"{server.name} did not stop in order; see {running.process.log}")


def merged(merger: Path) -> Path:
    """One profile of all counts. Its name says what is in it, because cargo does not look."""
    counts = sorted(COUNTS.glob("*.profraw"))
    if not counts:
        raise SystemExit(f"nothing was counted in {COUNTS}")
    profile = PGO / "profile"
    subprocess.run([merger, "merge", "--output", profile, *counts], check=True)
    digest = hashlib.sha256(profile.read_bytes()).hexdigest()
    return profile.rename(PGO / f"{digest[:16]}.profdata")


if __name__ == "__main__":
    main()
