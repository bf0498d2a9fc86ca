"""The proxies: how each is set up, and what a row of a table asks of which.

Each has one thread or worker, logs no requests, keeps connections to the upstream, and is otherwise as its documentation
sets it up. A server may have several doors, plain and verifying: only one of them is asked at a time.
"""

import json
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from machine import PROXY_CORE, Process, await_ports, free_ports

HERE = Path(__file__).parent

POOL = "eu-west-1_Bench1234"
ISSUER = f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL}"
CLIENT = "4example23client56id78abcd"


class Config(Template):
    """A configuration file of some program, with places to fill in: @{name}."""

    delimiter = "@"


class NotSupported(Exception):
    """A program is not there, or refuses a key of its configuration: the row is left out, and says why."""


@dataclass(frozen=True)
class Server:
    """A program with a configuration. `settings` fill in what differs between two of the same program."""

    name: str
    program: str
    ports: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()
    may_be_refused: bool = False

    def start(self, stage: "Stage") -> "Running":
        directory = stage.directory / self.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for file in stage.shared:
            shutil.copy(file, directory)
        ports = dict(zip(self.ports, free_ports(len(self.ports))))
        values = stage.values | dict(self.settings) | {"directory": directory} | ports
        command = COMMANDS[self.program](stage.programs[self.program], directory, values)
        if self.may_be_refused:
            check(stage.programs[self.program], directory / "cognigate.yaml")
        process = Process(command, PROXY_CORE, directory / "log")
        await_ports(process, ports.values())
        return Running(self, process, ports)


@dataclass(frozen=True)
class Running:
    """A server that takes connections."""

    server: Server
    process: Process
    ports: dict[str, int]


@dataclass(frozen=True)
class Stage:
    """What all servers share: the programs, a directory, the files in it, and what their configurations say."""

    programs: object
    directory: Path
    tokens: Path
    shared: tuple[Path, ...]
    values: dict


@dataclass(frozen=True)
class Subject:
    """A door of a server, and what is expected of it."""

    name: str
    server: Server
    port: str = "http"
    base: str = "/items"
    is_tls: bool = False
    verifies: bool = True

    def url(self, running: Running, path: str) -> str:
        return f"{'https' if self.is_tls else 'http'}://127.0.0.1:{running.ports[self.port]}{self.base}/{path}"


def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def fill(template: str, target: Path, values: dict) -> Path:
    target.write_text(Config((HERE / "peers" / template).read_text()).substitute(values))
    return target


def check(program: Path, config: Path) -> None:
    result = subprocess.run([program, "check", "-c", config], capture_output=True, text=True)
    if result.returncode:
        raise NotSupported((result.stdout + result.stderr).strip().splitlines()[0].replace(f"{config.parent}/", ""))


def cognigate(program: Path, directory: Path, values: dict) -> list:
    return [program, "run", "-c", fill("cognigate.yaml", directory / "cognigate.yaml", values)]


def nginx(program: Path, directory: Path, values: dict) -> list:
    return [program, "-p", directory, "-e", "stderr", "-c", fill("nginx.conf", directory / "nginx.conf", values)]


def upstream(program: Path, directory: Path, values: dict) -> list:
    return [program, "-p", directory, "-e", "stderr", "-c", fill("upstream.conf", directory / "upstream.conf", values)]


def haproxy(program: Path, directory: Path, values: dict) -> list:
    return [program, "-db", "-f", fill("haproxy.cfg", directory / "haproxy.cfg", values)]


def pingap(program: Path, directory: Path, values: dict) -> list:
    return [program, "-c", fill("pingap.toml", directory / "pingap.toml", values)]


def envoy(program: Path, directory: Path, values: dict) -> list:
    config = directory / "envoy.json"
    config.write_text(json.dumps(envoy_config(values), indent=2))
    return [program, "-c", config, "--concurrency", 1, "--disable-hot-restart", "--log-level", "error"]


COMMANDS = {"cognigate": cognigate, "envoy": envoy, "haproxy": haproxy, "nginx": nginx, "pingap": pingap}


# Envoy's configuration, which repeats itself too much to be written out: it may be read as JSON in the log directory.

TYPE = "type.googleapis.com/envoy.extensions"


def envoy_config(values: dict) -> dict:
    listeners = [
        envoy_listener("http", values, []),
        envoy_listener("jwt", values, [jwt_authn(values, {})]),
        envoy_listener("jwt_default", values, [jwt_authn(values, {"jwt_cache_config": {}})]),
        envoy_listener("jwt_cached", values, [jwt_authn(values, JWT_CACHE)]),
        envoy_listener("https", values, [jwt_authn(values, JWT_CACHE)]),
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [envoy_cluster(values["upstream"])]}}


# Room for every token that is sent; by default it keeps 100.
JWT_CACHE = {"jwt_cache_config": {"jwt_cache_size": 100_000, "jwt_max_token_size": 4096}}


def jwt_authn(values: dict, cache: dict) -> dict:
    provider = {
        "issuer": values["issuer"],
        "audiences": [values["client"]],
        "local_jwks": {"filename": f"{values['tokens']}/jwks.json"},
        "forward": True,
        "claim_to_headers": [{"header_name": "x-cognito-sub", "claim_name": "sub"}],
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": f"{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"main": provider | cache},
            "rules": [rule],
        },
    }


def envoy_listener(name: str, values: dict, filters: list) -> dict:
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}
    to_items = {"match": {"prefix": "/"}, "route": {"cluster": "items"}}
    connections = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [{"name": "items", "domains": ["*"], "routes": [to_items]}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    if name == "https":
        chain["transport_socket"] = envoy_tls(values["directory"])
    address = {"socket_address": {"address": "127.0.0.1", "port_value": values[name]}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def envoy_tls(directory: Path) -> dict:
    certificate = {
        "certificate_chain": {"filename": f"{directory}/tls.crt"},
        "private_key": {"filename": f"{directory}/tls.key"},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [certificate],
            },
        },
    }


def envoy_cluster(port: int) -> dict:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    # By default it makes 1,024 connections and no more.
    limits = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    return {
        "name": "items",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "items", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


# What a route of Cognigate's looks like, and the servers that differ from its defaults in one thing each.

VERIFIED = '  - { match: { path: "/items/{proxy+}" }, auth: { user_pools: [main] }, upstream: items }'
LIMITED = VERIFIED[:-2] + ", rate_limit: { by: sub, rate: 100000/s } }"
ANY_SERVICE = VERIFIED.replace("/items/", "/{service}/")
THOUSAND_SERVICES = "\n".join(VERIFIED.replace("/items/", f"/service-{at}/") for at in range(1_000))

COGNIGATE = Server("cognigate", "cognigate", ("http", "https", "admin"), (("routes", VERIFIED), ("more", "")))


def variant(name: str, may_be_refused: bool = False, **settings: str) -> Server:
    changed = tuple((dict(COGNIGATE.settings) | settings).items())
    return replace(COGNIGATE, name=name, settings=changed, may_be_refused=may_be_refused)


UNCACHED = variant("cognigate-uncached", more="token_cache: { max_bytes: 0 }")
ROOMY = variant("cognigate-roomy", more="token_cache: { max_bytes: 256MiB }")
LOGGED = variant("cognigate-logged", may_be_refused=True, more="access_log: { path: access.log }")
RATE_LIMITED = variant("cognigate-limited", may_be_refused=True, routes=LIMITED)
ONE_ROUTE = variant("cognigate-one-route", routes=ANY_SERVICE)
THOUSAND_ROUTES = variant("cognigate-thousand-routes", routes=THOUSAND_SERVICES)

ENVOY = Server("envoy", "envoy", ("http", "jwt", "jwt_cached", "jwt_default", "https"))
HAPROXY = Server("haproxy", "haproxy", ("http", "jwt", "https"))
NGINX = Server("nginx", "nginx", ("http", "https"))
PINGAP = Server("pingap", "pingap", ("http", "jwt"))
