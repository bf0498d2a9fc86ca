"""The page of a run, its picture, and the lines of it that the README shows."""

import re
from dataclasses import dataclass
from pathlib import Path

import goals
import plan
from measure import Row
from plan import Load
from plot import svg
from programs import PINGAP_INSTALL, ROOT

# With fewer rounds, or a machine that others use, a page says that it is not to be quoted.
ROUNDS_TO_QUOTE = 5
BUSY = 0.05

PAGES = ROOT / "docs/benchmarks"
README = ROOT / "README.md"
BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"


@dataclass(frozen=True)
class Run:
    """What was measured, when and on what."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: int | None  # of every round; None: each load's own
    loads: tuple[Load, ...]
    results: dict[str, list[Row]]
    busy: float  # the share of the cores that others took, before the first round or after the last
    minutes: float


def write(run: Run) -> Path:
    """Writes page and picture, and the README's lines if it has a place for them."""
    PAGES.mkdir(parents=True, exist_ok=True)
    (PAGES / f"{run.date}.svg").write_text(picture(run))
    page = PAGES / f"{run.date}.md"
    page.write_text(text(run))
    readme = README.read_text()
    if BEGIN in readme:
        inner = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        README.write_text(inner.sub(lambda _: f"{BEGIN}\n{snippet(run)}\n{END}", readme))
    return page


def picture(run: Run) -> str:
    about = f"{plan.MAIN.title}, 64 connections, one core of {run.machine['CPU']}; {run.date}; shorter is better"
    return svg(run.results["main"], "CPU time of the proxy for a request", about)


def text(run: Run) -> str:
    parts = [
        f"# Next to its peers, {run.date}",
        summary(run),
        f"![CPU time of a request]({run.date}.svg)",
        promised(run),
    ]
    parts += [section(run, load) for load in run.loads]
    parts += [set_up(run), REPRODUCE]
    return "\n\n".join(parts) + "\n"


def summary(run: Run) -> str:
    length = f"{run.seconds} s" if run.seconds else "2 or 3 s"
    said = (
        f"Written by `make bench-peers`. {run.rounds} rounds of {length}; in each, every proxy has its turn; the tables give"
        " medians, and the range of the rounds. CPU time is what the kernel counts for all processes and threads of the"
        f" proxy (`utime` + `stime`), divided by its requests. Others took {run.busy * 100:.0f} % of the cores before the first"
        f" round or after the last. It took {run.minutes:.0f} minutes."
    )
    if run.rounds < ROUNDS_TO_QUOTE or run.busy > BUSY:
        said += "\n\n**Not a measurement to quote:** too few rounds, or a machine that was busy with something else."
    return said


def promised(run: Run) -> str:
    lines = [
        "## What was promised",
        "",
        "| of CPU time, unless it says otherwise | ratio | goal | |",
        "|---|--:|--:|---|",
    ]
    for goal in goals.goals(run.results):
        ratio = "not measured" if goal.ratio is None else f"{goal.ratio:.2f}"
        met = {None: "", True: "met", False: "**not met**"}[goal.is_met]
        lines.append(f"| {goal.text} | {ratio} | {'≥' if goal.at_least else '≤'} {goal.limit:.2f} | {met} |")
    why = (
        "Ratios are medians over the rounds, of two that had their turns in the same one. Requests a core are 1 s / CPU time,"
        " since what wrk counts is bounded by its own core, where the upstream is too."
    )
    return "\n".join([*lines, "", why])


def section(run: Run, load: Load) -> str:
    rows = run.results[load.key]
    measured = [row for row in rows if not row.left_out]
    table = latency_table(measured) if load.key == "latency" else cost_table(measured)
    notes = [f"{row.name}: left out ({row.left_out})." for row in rows if row.left_out]
    notes += [f"{row.name}: {row.failed} requests failed." for row in measured if row.failed]
    return "\n\n".join([f"## {load.title}", load.about, "\n".join(table), *notes])


def cost_table(rows: list[Row]) -> list[str]:
    """With memory where idle connections were held; h2load tells no latencies."""
    columns = ["", "CPU µs/request", "range", "requests/s"]
    has_latency = all(row.samples[0].latency for row in rows)
    has_idle = any(row.idle_bytes for row in rows)
    columns += ["p50 ms", "p99 ms"] * has_latency + ["KB/idle connection"] * has_idle
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "--:|" * (len(columns) - 1)]
    for row in rows:
        low, high = row.cpu_range
        cells = [row.name, f"{row.cpu_us:.1f}", f"{low:.1f} – {high:.1f}", f"{row.rate:,.0f}"]
        cells += [f"{row.latency(q) / 1000:.2f}" for q in ("p50", "p99")] if has_latency else []
        cells += [f"{row.idle_bytes / 1024:.1f}"] if has_idle else []
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def latency_table(rows: list[Row]) -> list[str]:
    lines = ["| | p50 ms | p99 ms | p99.9 ms | CPU µs/request |", "|---|--:|--:|--:|--:|"]
    for row in rows:
        quantiles = " | ".join(f"{row.latency(q) / 1000:.2f}" for q in ("p50", "p99", "p999"))
        lines.append(f"| {row.name} | {quantiles} | {row.cpu_us:.1f} |")
    return lines


def set_up(run: Run) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in run.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return f"""\
## How it was measured

{facts}
- versions: {versions}

The proxy under test runs on core 0, with one thread or worker. wrk (or h2load, or our own generator where the rate is
fixed) and the nginx that is the upstream of all share core 1. Everything is on loopback. Access logs are off, connections
to the upstream are kept, every other setting that matters is in [benches/load/peers](../../benches/load/peers) and
[peers.py](../../benches/load/peers.py).

The tokens are ID tokens of 1.2 KB, signed with one RSA key of 2048 bits. Before a proxy is measured, it has to let a good
token through, to tell the upstream whose it is, and to refuse one that is expired, one with a signature that is not its own,
one for another app client, and a request without one. Cognigate does more than the others were asked to: it keeps metrics
by route and reason, removes forged identity headers, refuses ambiguous requests, and forgets cached tokens whose key was
withdrawn.{pingap_note(run)}"""


def pingap_note(run: Run) -> str:
    if "pingap" in run.versions:
        return ""
    return f"""

pingap takes as long to build as all of this takes to run, so it takes part only where it was built before:

```sh
{PINGAP_INSTALL}
```

**Not of this run:** pingap 0.13.9 on a machine like this once took 42.8 µs plain and 84.5 µs with its jwt plugin, where
nginx took 24.7 µs."""


REPRODUCE = """\
## Again

```sh
make bench-peers                       # a quarter of an hour on two cores, after the build; Debian or Ubuntu
make bench-peers LOADS=main,tls        # some of it, printed and not written down
make bench-peers ROUNDS=1 SECONDS=1    # everything, briefly: does it still work?
```"""


def snippet(run: Run) -> str:
    """What the README shows."""
    rows = [row for row in run.results["main"] if not row.left_out]
    nginx = goals.row(run.results, "main", plan.NGINX)
    lines = ["| | CPU a request | nginx, plain = 1 |", "|---|--:|--:|"]
    for row in sorted(rows, key=lambda row: row.cpu_us):
        lines.append(f"| {row.name} | {row.cpu_us:.1f} µs | {row.cpu_us / nginx.cpu_us:.2f} |")
    found = goals.goals(run.results)
    met = sum(goal.is_met is True for goal in found)
    page = f"docs/benchmarks/{run.date}.md"
    return f"""\
![CPU time of the proxy for a request](docs/benchmarks/{run.date}.svg)

{chr(10).join(lines)}

1,000 distinct tokens of 1.2 KB, 64 connections, one core of {run.machine["CPU"]}, {run.date}. {met} of {len(found)} goals are
met: [{page}]({page}) has them, TLS, HTTP/2, refusals, bodies, crowds of connections and latencies, and `make bench-peers`
measures it on your machine."""
