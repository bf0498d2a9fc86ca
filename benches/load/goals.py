"""What was promised, and whether this run keeps it."""

import statistics
from dataclasses import dataclass

import plan
from measure import Row, cpu_us
from traffic import Sample

# A row is found by the load's key and its name.
Results = dict[str, list[Row]]


@dataclass(frozen=True)
class Goal:
    """A ratio that is to be at most, or at least, so much. Without a ratio it was not measured."""

    text: str
    ratio: float | None
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        if self.ratio is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def row(results: Results, load: str, subject: plan.Subject, label: str = "") -> Row | None:
    name = plan.Case(subject, label=label).name
    found = [row for row in results.get(load, []) if row.name == name and not row.left_out]
    return found[0] if found else None


def ratio(one: Row | None, other: Row | None, of) -> float | None:
    """The median over the rounds of a load: what else the machine does in one meets both of them."""
    if not (one and other):
        return None
    return statistics.median(of(mine) / of(theirs) for mine, theirs in zip(one.samples, other.samples, strict=True))


def a_core(sample: Sample) -> float:
    """Requests that a core can do in a second: what wrk counts is bounded by its own core too."""
    return 1e6 / cpu_us(sample)


def p99(sample: Sample) -> float:
    return sample.latency["p99"]


def goals(results: Results) -> list[Goal]:
    return [*costs(results), *latencies(results), *scaling(results)]


def costs(results: Results) -> list[Goal]:
    """CPU time of a request, next to others'."""

    def main(subject: plan.Subject) -> Row | None:
        return row(results, "main", subject)

    cached = main(plan.CACHED)
    let_through, expired = row(results, "refused", plan.CACHED), row(results, "refused", plan.CACHED, "expired")
    return [
        Goal("a cached token, next to HAProxy with `jwt_verify`", ratio(cached, main(plan.HAPROXY_JWT), cpu_us), 0.45),
        Goal(
            "a cached token, next to Envoy with `jwt_authn` and its cache as it comes",
            ratio(cached, main(plan.ENVOY_DEFAULT), cpu_us),
            0.35,
        ),
        Goal(
            "a cached token, next to Envoy with `jwt_authn` and a cache that has room for all tokens",
            ratio(cached, main(plan.ENVOY_CACHED), cpu_us),
            0.35,
        ),
        Goal("a cached token, next to pingap with `jwt`", ratio(cached, main(plan.PINGAP_JWT), cpu_us), 0.42),
        Goal("a cached token, next to nginx that looks at none", ratio(cached, main(plan.NGINX), cpu_us), 1.35),
        Goal("a cached token, next to an open route", ratio(cached, main(plan.OPEN), cpu_us), 1.04),
        Goal(
            "every token new, next to Envoy with `jwt_authn` and no cache",
            ratio(main(plan.UNCACHED), main(plan.ENVOY_UNCACHED), cpu_us),
            0.45,
        ),
        Goal("a refusal (expired), next to a request that is let through", ratio(expired, let_through, cpu_us), 0.45),
    ]


def latencies(results: Results) -> list[Goal]:
    ours = row(results, "latency", plan.CACHED)
    return [
        Goal(f"p99 at the fixed rate, next to {name}", ratio(ours, row(results, "latency", other), p99), 1.0)
        for name, other in (("HAProxy", plan.HAPROXY_JWT), ("Envoy with its cache", plan.ENVOY_CACHED))
    ]


def scaling(results: Results) -> list[Goal]:
    """What more of something leaves of the requests that a core can do."""

    def kept(subject: plan.Subject) -> float | None:
        return ratio(row(results, "crowd", subject, "4,096"), row(results, "crowd", subject, "64"), a_core)

    ours, nginx = kept(plan.CACHED), kept(plan.NGINX)
    routes = ratio(row(results, "routes", plan.THOUSAND_ROUTES), row(results, "routes", plan.ONE_ROUTE), a_core)
    one_token = row(results, "zipf", plan.CACHED, "one token")
    tokens, roomy = (ratio(row(results, "zipf", cached), one_token, a_core) for cached in (plan.CACHED, plan.ROOMY))
    crowd = ours / nginx if ours and nginx else None
    return [
        Goal("requests a core, 1,000 routes next to 1", routes, 0.97, at_least=True),
        Goal("requests a core, 100,000 tokens next to 1, with a cache for all", roomy, 0.90, at_least=True),
        Goal("requests a core, 100,000 tokens next to 1, with the cache as it comes", tokens, 0.90, at_least=True),
        Goal("what 4,096 connections leave of 64, next to nginx", crowd, 0.85, at_least=True),
    ]
