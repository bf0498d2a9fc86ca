//! What a scenario comes to: one row of a table, and what was wrong.

use std::{
    any::Any,
    fmt::{self, Display},
    time::Duration,
};

use crate::traffic::Tally;

/// The most that the slowest hundredth of the good requests may take, whatever is wrong with the key server. A request that
/// waited for it would take a second at least.
const P99_LIMIT: Duration = Duration::from_millis(750);

/// What a scenario came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// What happened.
    pub(crate) scenario: String,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Requests that the upstream answered.
    pub(crate) served: u64,
    /// Requests that were answered 401.
    pub(crate) refused: u64,
    /// Requests that were answered 503, because there was nothing to decide with.
    pub(crate) undecided: u64,
    /// Requests that got anything but the upstream's answer where they were due it, or 401 where 503 was due.
    pub(crate) wrong_refusals: u64,
    /// Requests that reached the upstream and must not have.
    pub(crate) wrong_acceptances: u64,
    /// How often the proxy asked for keys.
    pub(crate) fetches: u64,
    /// How long the slowest hundredth of what was served took at least.
    pub(crate) p99: Option<Duration>,
    /// What is special about this scenario.
    pub(crate) note: String,
    /// What was wrong.
    pub(crate) faults: Vec<String>,
}

impl Report {
    /// A report on nothing yet.
    pub(crate) fn new(scenario: impl Into<String>) -> Self {
        Self { scenario: scenario.into(), ..Self::default() }
    }

    /// A report on a scenario that did not reach its end.
    pub(crate) fn broken(scenario: &str, fault: String) -> Self {
        Self { faults: vec![fault], ..Self::new(scenario) }
    }

    /// Adds what became of the requests of a class.
    pub(crate) fn add(&mut self, tally: &Tally) {
        self.served += tally.served;
        self.refused += tally.refused;
        self.undecided += tally.undecided;
        self.wrong_refusals += tally.wrong_refusals;
        self.wrong_acceptances += tally.wrong_acceptances;
        self.faults.extend(tally.faults.iter().cloned());
    }

    /// Notes a fault unless this holds.
    pub(crate) fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Everything that is wrong.
    pub(crate) fn all_faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        if self.wrong_refusals + self.wrong_acceptances > 0 {
            faults
                .push(format!("{} wrong refusals, {} wrong acceptances", self.wrong_refusals, self.wrong_acceptances));
        }
        if self.served == 0 || self.refused == 0 {
            faults.push("nothing was asked".to_owned());
        }
        if let Some(p99) = self.p99.filter(|p99| *p99 > P99_LIMIT) {
            faults.push(format!("p99 {p99:?}, at most {P99_LIMIT:?}"));
        }
        faults
    }
}

/// A Markdown table of reports.
#[derive(Debug)]
pub(crate) struct Table<'r>(pub(crate) &'r [Report]);

impl Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| scenario | seconds | served | 401 | 503 | wrong refusals | wrong acceptances | fetches | p99 of served | |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for report in self.0 {
            let Report { scenario, seconds, served, refused, undecided, wrong_refusals, wrong_acceptances, .. } =
                report;
            let (fetches, p99) =
                (report.fetches, report.p99.map(Millis).map_or_else(String::new, |p99| p99.to_string()));
            let note = if report.all_faults().is_empty() { &report.note } else { "FAILED" };
            writeln!(
                out,
                "| {scenario} | {seconds:.1} | {served} | {refused} | {undecided} | {wrong_refusals} | \
                 {wrong_acceptances} | {fetches} | {p99} | {note} |"
            )?;
        }
        Ok(())
    }
}

/// A time in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Millis(pub(crate) Duration);

impl Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.2} ms", self.0.as_secs_f64() * 1e3)
    }
}

/// What so many of a hundred are not above; `None` of none. Puts them in order.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Option<Duration> {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied()
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
