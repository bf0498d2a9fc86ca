//! What a drill comes to: one row of a table, and which promises were broken.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt::{self, Display},
    time::{Duration, Instant},
};

use crate::load::Sample;

/// What a drill came to.
#[derive(Debug)]
pub(crate) struct Report {
    name: String,
    samples: Vec<Sample>,
    /// When the trouble began.
    began: Option<Instant>,
    retries: f64,
    recovery: Option<Duration>,
    note: String,
    broken: Vec<String>,
}

impl Report {
    /// A report on nothing yet.
    pub(crate) fn new(name: &str) -> Self {
        let (name, note) = (name.to_owned(), String::new());
        Self { name, samples: Vec::new(), began: None, retries: 0.0, recovery: None, note, broken: Vec::new() }
    }

    /// Notes when the trouble began: failures are counted from here.
    pub(crate) fn begin(&mut self) -> Instant {
        *self.began.insert(Instant::now())
    }

    /// Notes how long it took from the end of the trouble until it was not felt any more.
    pub(crate) fn recovered_after(&mut self, time: Duration) {
        self.recovery = Some(time);
    }

    /// Notes what is special about this drill.
    pub(crate) fn note(&mut self, note: String) {
        self.note = note;
    }

    /// Takes all requests, and how many tries the proxy made beyond them.
    pub(crate) fn take(&mut self, samples: Vec<Sample>, retries: f64) {
        (self.samples, self.retries) = (samples, retries);
        let count = self.samples.len();
        self.require(count > 100, || format!("{count} requests are no traffic"));
    }

    /// A promise: it is broken unless this holds.
    pub(crate) fn require(&mut self, holds: bool, promise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(promise());
        }
    }

    /// A promise: of the requests that began from `since` on, none failed.
    pub(crate) fn require_no_failure(&mut self, since: Instant, what: &str) {
        let later = self.samples.iter().filter(|sample| sample.begun >= since);
        let (count, failed) =
            later.fold((0, 0), |(count, failed), sample| (count + 1, failed + usize::from(!sample.is_good())));
        self.require(count > 0, || format!("no request {what}"));
        self.require(failed == 0, || format!("{failed} of {count} requests failed {what}"));
    }

    /// A promise: no more than so many requests failed.
    pub(crate) fn require_failures(&mut self, most: usize) {
        let failed = self.failures().count();
        self.require(failed <= most, || format!("{failed} requests failed, {most} may"));
    }

    /// A promise: failed requests were answered with one of these statuses; 0 is a broken connection.
    pub(crate) fn require_statuses(&mut self, statuses: &[u16]) {
        let others: Vec<_> = self.failures().map(|sample| sample.status).filter(|s| !statuses.contains(s)).collect();
        self.require(others.is_empty(), || format!("answered {others:?}, where {statuses:?} are right"));
    }

    /// A promise: nobody waited longer for an answer, good or bad.
    pub(crate) fn require_longest(&mut self, limit: Duration) {
        let longest = self.longest();
        self.require(longest <= limit, || format!("the longest request took {longest:.1?}, {limit:?} is the limit"));
    }

    /// A promise: 99 of 100 requests were answered within this time.
    pub(crate) fn require_p99(&mut self, limit: Duration) {
        let p99 = self.percentile(99);
        self.require(p99 <= limit, || format!("p99 is {p99:.1?}, {limit:?} is the limit"));
    }

    /// A promise: it was over so soon after the trouble had ended.
    pub(crate) fn require_recovery(&mut self, limit: Duration) {
        let recovery = self.recovery;
        let is_soon = recovery.is_some_and(|recovery| recovery <= limit);
        self.require(is_soon, || format!("recovered after {recovery:.1?}, {limit:?} is the limit"));
    }

    /// The promises that were broken, each with the drill's name.
    pub(crate) fn broken_promises(&self) -> impl Iterator<Item = String> + use<'_> {
        self.broken.iter().map(|promise| format!("{}: {promise}", self.name))
    }

    fn failures(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| !sample.is_good())
    }

    fn longest(&self) -> Duration {
        self.samples.iter().map(|sample| sample.took).max().unwrap_or_default()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<_> = self.samples.iter().map(|sample| sample.took).collect();
        times.sort_unstable();
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The statuses and how often each was answered; `broken` is a connection that broke.
    fn statuses(&self) -> String {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            *counts.entry(sample.status).or_insert(0_usize) += 1;
        }
        let words = counts.into_iter().map(|(status, count)| match status {
            0 => format!("broken: {count}"),
            status => format!("{status}: {count}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// When a request failed that began then, from the beginning of the trouble.
    fn since_trouble(&self, failure: Option<&Sample>) -> String {
        let (Some(began), Some(failure)) = (self.began, failure) else { return "-".to_owned() };
        format!("{}", Seconds(failure.begun.saturating_duration_since(began)))
    }
}

/// A Markdown table of reports.
#[derive(Debug)]
pub(crate) struct Table<'r>(pub(crate) &'r [Report]);

impl Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| drill | requests | answers | retries | p50 | p99 | longest | first failure | last failure | recovered | |"
        )?;
        writeln!(out, "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for report in self.0 {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                report.name,
                report.samples.len(),
                report.statuses(),
                report.retries,
                Seconds(report.percentile(50)),
                Seconds(report.percentile(99)),
                Seconds(report.longest()),
                report.since_trouble(report.failures().next()),
                report.since_trouble(report.failures().last()),
                report.recovery.map_or_else(|| "-".to_owned(), |time| Seconds(time).to_string()),
                if report.broken.is_empty() { &report.note } else { "FAILED" },
            )?;
        }
        Ok(())
    }
}

/// A time in seconds or milliseconds.
#[derive(Clone, Copy, Debug)]
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds @ 1.0.. => write!(out, "{seconds:.2} s"),
            seconds => write!(out, "{:.1} ms", seconds * 1e3),
        }
    }
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
