"""What all proxies share: tokens, a certificate, and an upstream."""

import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import machine
import peers
import programs
from machine import LOAD_CORE, Process
from measure import say
from traffic import GOOD_TOKENS

# Tokens are good for a day. Those of a run that ended less than half of one ago are taken again.
TOKENS_LAST = 12 * 60 * 60


def mint(found: programs.Programs) -> Path:
    """The tokens, new ones if there are none or they are about to expire."""
    tokens = programs.PEERS / "tokens"
    last = tokens / "foreign"
    if not last.exists() or time.time() - last.stat().st_mtime > TOKENS_LAST:
        say(f"minting {GOOD_TOKENS:,} tokens")
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
