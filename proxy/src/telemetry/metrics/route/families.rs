//! The series of every route, made when they are asked for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use cognigate_auth::rejection::Rejection;
use parking_lot::Mutex;
use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use super::{CODE_LABELS, CODES, Cells, DURATION_BUCKETS, METHODS, Pair, RouteMetrics};

/// The label of statuses that HTTP does not have.
const OTHER_CODE: &str = "other";

/// What is counted about every route.
#[derive(Clone, Debug)]
pub(in crate::telemetry::metrics) struct RouteFamilies(Arc<Families>);

#[derive(Debug)]
struct Families {
    requests: Desc,
    duration: Desc,
    decisions: Desc,
    routes: Mutex<BTreeMap<Box<str>, RouteMetrics>>,
}

impl RouteFamilies {
    pub(in crate::telemetry::metrics) fn new() -> Result<Self, prometheus::Error> {
        let desc = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().copied().map(String::from).collect();
            Desc::new(name.into(), help.into(), labels, HashMap::new())
        };
        Ok(Self(Arc::new(Families {
            requests: desc(
                "cognigate_http_requests_total",
                "Requests, by route, method and status.",
                &["route", "method", "code"],
            )?,
            duration: desc(
                "cognigate_http_request_duration_seconds",
                "From the end of the request's head to the end of the response.",
                &["route"],
            )?,
            decisions: desc(
                "cognigate_auth_decisions_total",
                "Decisions on who may use a route, by reason.",
                &["route", "reason"],
            )?,
            routes: Mutex::default(),
        })))
    }

    /// The counters of this label, which go on where they were.
    pub(in crate::telemetry::metrics) fn route(&self, label: &str) -> RouteMetrics {
        let mut routes = self.0.routes.lock();
        routes.entry(label.into()).or_insert_with(|| RouteMetrics(Arc::new(Cells::new(label)))).clone()
    }

    /// Ends the series of every other route. What still counts in one counts where nobody looks.
    pub(in crate::telemetry::metrics) fn retain(&self, is_route: impl Fn(&str) -> bool) {
        self.0.routes.lock().retain(|label, _| is_route(label));
    }
}

impl Collector for RouteFamilies {
    fn desc(&self) -> Vec<&Desc> {
        let Families { requests, duration, decisions, .. } = &*self.0;
        vec![requests, duration, decisions]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let routes: Vec<_> = self.0.routes.lock().values().cloned().collect();
        let cells = || routes.iter().map(|route| &*route.0);
        vec![
            family(&self.0.requests, MetricType::COUNTER, cells().flat_map(Cells::requests)),
            family(&self.0.duration, MetricType::HISTOGRAM, cells().map(Cells::duration)),
            family(&self.0.decisions, MetricType::COUNTER, cells().flat_map(Cells::decisions)),
        ]
    }
}

impl Cells {
    fn requests(&self) -> impl Iterator<Item = Metric> {
        let usual = self.usual_pairs.iter().zip(&self.usual);
        let usual = usual.filter_map(|(holder, counter)| Some((Pair::of_key(holder.load(Relaxed))?, counter)));
        let unusual = self.unusual.iter().enumerate().filter_map(|(method, counters)| Some((method, counters.get()?)));
        let unusual = unusual.flat_map(|(method, counters)| {
            (0..).zip(counters).map(move |(code, counter)| (Pair { method, code }, counter))
        });
        let begun =
            usual.chain(unusual).map(|(pair, counter)| (pair, counter.load(Relaxed))).filter(|(_, count)| *count > 0);
        begun.map(|(pair, count)| {
            let labels = [("code", &*pair.code_label()), ("method", pair.method_label()), ("route", &self.label)];
            counted(&labels, count)
        })
    }

    fn duration(&self) -> Metric {
        let observed = self.durations.each_ref().map(|bucket| bucket.load(Relaxed));
        let mut below = 0;
        let buckets = DURATION_BUCKETS.into_iter().zip(observed).map(|(bound, observed)| {
            below += observed;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(observed.iter().sum());
        histogram.set_sample_sum(Duration::from_micros(self.microseconds.load(Relaxed)).as_secs_f64());
        let mut metric = Metric::from_label(label_pairs(&[("route", &self.label)]));
        metric.set_histogram(histogram);
        metric
    }

    fn decisions(&self) -> impl Iterator<Item = Metric> {
        let rejected = Rejection::ALL.into_iter().map(Rejection::reason).zip(&self.rejected);
        let guarded = std::iter::once(("ok", &self.accepted)).chain(rejected);
        let guarded = guarded.filter(|_| self.is_guarded.load(Relaxed));
        let open = self.is_open.load(Relaxed).then_some(("open", &self.open));
        let decision = |(reason, counter): (_, &AtomicU64)| {
            counted(&[("reason", reason), ("route", &self.label)], counter.load(Relaxed))
        };
        guarded.chain(open).map(decision)
    }
}

impl Pair {
    fn of_key(key: u32) -> Option<Self> {
        let place = key.checked_sub(1)?;
        let method = usize::try_from(place / u32::from(CODE_LABELS)).ok()?;
        Some(Self { method, code: u16::try_from(place % u32::from(CODE_LABELS)).ok()? })
    }

    fn method_label(self) -> &'static str {
        METHODS.get(self.method).copied().unwrap_or_default()
    }

    fn code_label(self) -> String {
        let is_other = self.code == CODE_LABELS - 1;
        if is_other { OTHER_CODE.into() } else { (CODES.start + self.code).to_string() }
    }
}

fn family(desc: &Desc, kind: MetricType, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics.collect());
    family
}

fn counted(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    #[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(label_pairs(labels));
    metric.set_counter(counter);
    metric
}

/// Labels as they are shown: in the order of their names.
fn label_pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use prometheus::{Registry, TextEncoder};

    use super::*;

    /// What is shown of these routes, line by line and in order.
    fn shown(families: &RouteFamilies) -> Vec<String> {
        let registry = Registry::new();
        registry.register(Box::new(families.clone())).unwrap();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
    }

    fn shown_of(families: &RouteFamilies, name: &str) -> Vec<String> {
        shown(families).iter().filter_map(|line| line.strip_prefix(name)).map(String::from).collect()
    }

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn labels_are_a_closed_set() {
        let families = RouteFamilies::new().unwrap();
        let route = families.route("GET /a");
        for method in ["GET", "BREW", "M-SEARCH", "get"] {
            for code in [200, 599, 999] {
                route.observe(&method.parse().unwrap(), status(code), Duration::ZERO);
            }
        }
        assert_eq!(
            shown_of(&families, "cognigate_http_requests_total"),
            [
                r#"{code="200",method="GET",route="GET /a"} 1"#,
                r#"{code="200",method="OTHER",route="GET /a"} 3"#,
                r#"{code="599",method="GET",route="GET /a"} 1"#,
                r#"{code="599",method="OTHER",route="GET /a"} 3"#,
                r#"{code="other",method="GET",route="GET /a"} 1"#,
                r#"{code="other",method="OTHER",route="GET /a"} 3"#,
            ]
        );
    }

    #[test]
    fn every_pair_is_counted_once_whoever_comes_first() {
        let families = RouteFamilies::new().unwrap();
        let route = families.route("r");
        let codes = || (100..=600).map(status);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for method in METHODS {
                        codes().for_each(|code| route.observe(&method.parse().unwrap(), code, Duration::ZERO));
                    }
                });
            }
        });
        let lines = shown_of(&families, "cognigate_http_requests_total");
        assert_eq!(lines.len(), METHODS.len() * usize::from(CODE_LABELS));
        assert!(lines.iter().all(|line| line.ends_with(" 4")), "{lines:?}");
    }

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let families = RouteFamilies::new().unwrap();
        let route = families.route("r");
        for micros in [0, 100, 101, 30_000_000, 31_000_000] {
            route.observe(&Method::GET, StatusCode::OK, Duration::from_micros(micros));
        }
        let lines = shown_of(&families, "cognigate_http_request_duration_seconds");
        for line in [
            r#"_bucket{route="r",le="0.0001"} 2"#,
            r#"_bucket{route="r",le="0.00025"} 3"#,
            r#"_bucket{route="r",le="5"} 3"#,
            r#"_bucket{route="r",le="30"} 4"#,
            r#"_bucket{route="r",le="+Inf"} 5"#,
            r#"_sum{route="r"} 61.000201"#,
            r#"_count{route="r"} 5"#,
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} in {lines:?}");
        }
        assert_eq!(lines.len(), DURATION_BUCKETS.len() + 3);
    }

    #[test]
    fn short_durations_are_rounded_and_not_cut_off() {
        let families = RouteFamilies::new().unwrap();
        let route = families.route("r");
        for nanos in [1_400, 1_600, 600] {
            route.observe(&Method::GET, StatusCode::OK, Duration::from_nanos(nanos));
        }
        assert!(
            shown(&families).contains(&r#"cognigate_http_request_duration_seconds_sum{route="r"} 0.000004"#.into())
        );
    }

    #[test]
    fn a_route_that_asks_has_all_of_its_decisions_from_the_start() {
        let families = RouteFamilies::new().unwrap();
        let (guarded, open, none) = (families.route("g").guarded(), families.route("o").open(), families.route("none"));
        guarded.count_accepted();
        for (times, rejection) in (2..).zip(Rejection::ALL) {
            (0..times).for_each(|_| guarded.count_rejection(rejection));
        }
        open.count_open();
        none.observe(&Method::GET, StatusCode::NOT_FOUND, Duration::ZERO);
        let mut expected = vec![r#"{reason="ok",route="g"} 1"#.to_owned(), r#"{reason="open",route="o"} 1"#.to_owned()];
        let rejected = (2..).zip(Rejection::ALL);
        expected.extend(rejected.map(|(times, one)| format!(r#"{{reason="{}",route="g"}} {times}"#, one.reason())));
        expected.sort();
        assert_eq!(shown_of(&families, "cognigate_auth_decisions_total"), expected);
    }

    #[test]
    fn a_label_goes_on_where_it_was_until_nobody_wants_it() {
        let families = RouteFamilies::new().unwrap();
        for route in ["a", "b"] {
            families.route(route).open().count_open();
            families.route(route).open().count_open();
        }
        families.retain(|route| route == "b");
        assert_eq!(families.route("a").open().label(), "a");
        assert_eq!(
            shown_of(&families, "cognigate_auth_decisions_total"),
            [r#"{reason="open",route="a"} 0"#, r#"{reason="open",route="b"} 2"#]
        );
    }
}
