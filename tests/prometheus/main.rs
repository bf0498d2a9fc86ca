//! What `deploy/` has for Prometheus and Grafana, and `docs/monitoring.md` says, against a real proxy and a real Prometheus.
//!
//! A dashboard goes wrong silently: a metric is renamed, a label goes, and a panel is empty on the day that somebody needs it.
//! Here everything happens to a proxy that a panel or an alert is about, a Prometheus scrapes it and has the rules, and each
//! expression must then have data. Of an alert, each side of its comparisons must: whether it fires is for
//! `deploy/prometheus/rules.test.yaml`, which `make test-prometheus` runs beside this.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that panics fails the test that asked for it, and a member that JSON lacks is null"
)]

use std::{collections::BTreeSet, fs, time::Duration};

use e2e::wait::within;

use dashboard::Dashboard;
use server::Prometheus;
use world::World;

mod dashboard;
mod expression;
mod server;
mod world;

/// How long it may take until the slowest expression has data: some scrapes, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A file of the repository.
#[track_caller]
fn file(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The names that begin with `cognigate_` in a text, without the endings of a histogram's series.
fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("cognigate_") && !word.ends_with('_')).map(|word| {
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|ending| word.strip_suffix(ending));
        histogram.filter(|name| name.ends_with("_seconds")).unwrap_or(word).to_owned()
    });
    names.collect()
}

/// The names of the alerts in the rules.
fn alerts() -> Vec<String> {
    let rules = file("deploy/prometheus/rules.yaml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect()
}

#[test]
fn every_expression_has_data() {
    let dashboard = Dashboard::parse(&file("deploy/grafana/cognigate.json"));
    let world = World::start();
    let prometheus = Prometheus::start(world.admin_address(), &root("deploy/prometheus/rules.yaml"));
    let questions = [dashboard.questions(), prometheus.rule_questions()].concat();
    let is_complete = within(LIMIT, || {
        // Up to the first that has none, so that asking does not take all of the machine.
        let is_answered = questions.iter().all(|question| prometheus.fault(question).is_none());
        (is_answered && prometheus.rule_faults().is_empty()).then_some(())
    });
    if is_complete.is_none() {
        let unanswered = questions.iter().filter_map(|question| prometheus.fault(question)).collect();
        let faults = [unanswered, prometheus.rule_faults()].concat();
        panic!("{} of {} without data:\n{}", faults.len(), questions.len(), faults.join("\n"));
    }
}

#[test]
fn every_metric_is_described_and_every_description_is_of_a_metric() {
    let world = World::start();
    let described = metric_names(&file("docs/monitoring.md"));
    let mut published = BTreeSet::new();
    let is_same = within(LIMIT, || {
        published = metric_names(&world.metrics());
        (published == described).then_some(())
    });
    assert!(
        is_same.is_some(),
        "not in docs/monitoring.md: {:?}; not at /metrics: {:?}",
        published.difference(&described).collect::<Vec<_>>(),
        described.difference(&published).collect::<Vec<_>>(),
    );
}

#[test]
fn every_alert_has_a_test_and_is_described() {
    let (tests, docs) = (file("deploy/prometheus/rules.test.yaml"), file("docs/monitoring.md"));
    for alert in alerts() {
        assert!(tests.contains(&format!("name: \"{alert}: ")), "{alert} has no group of its own in rules.test.yaml");
        assert!(
            tests.contains(&format!("{{alertname=\"{alert}\"}}")),
            "{alert} is not seen to fire in rules.test.yaml"
        );
        assert!(docs.contains(&format!("`{alert}`")), "{alert} is not in docs/monitoring.md");
    }
    let known: BTreeSet<_> = alerts().into_iter().collect();
    assert!(known.len() > 30 && known.len() == alerts().len(), "{known:?}");
}

#[test]
fn the_dashboard_is_well_formed() {
    let faults = Dashboard::parse(&file("deploy/grafana/cognigate.json")).faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_dashboard_that_is_not_well_formed_is_found() {
    let panel = |id: u32, x: u32, targets: &str| {
        format!(
            r#"{{ "id": {id}, "type": "stat", "title": "t", "description": "d", "gridPos": {{ "x": {x}, "y": 0, "w": 12, "h": 8 }},
            "datasource": {{ "uid": "${{datasource}}" }}, "targets": [{targets}] }}"#
        )
    };
    let dashboard = |panels: &[String]| {
        let text = format!(r#"{{ "uid": "u", "title": "t", "schemaVersion": 38, "panels": [{}] }}"#, panels.join(","));
        Dashboard::parse(&text).faults().len()
    };
    let target = r#"{ "refId": "A", "expr": "up" }"#;
    assert_eq!(dashboard(&[panel(1, 0, target), panel(2, 12, target)]), 0);
    assert_eq!(dashboard(&[panel(1, 0, target), panel(1, 12, target)]), 1, "an id twice");
    assert_eq!(dashboard(&[panel(1, 0, target), panel(2, 11, target)]), 1, "one over the other");
    assert_eq!(dashboard(&[panel(1, 13, target)]), 1, "over the edge");
    assert_eq!(dashboard(&[panel(1, 0, "")]), 1, "without a query");
    assert_eq!(dashboard(&[panel(1, 0, &format!("{target},{target}"))]), 1, "two queries of one name");
}
