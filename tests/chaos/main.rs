//! Chaos: key servers fail, keys rotate, strangers flood, the proxy restarts, and nobody whose token is good notices.
//!
//! Each scenario has a proxy process of its own, a key server that does as it is told, an upstream that records what
//! reaches it, and steady traffic of good and bad tokens. It comes to a row of the table that is printed in the end:
//!
//! - *wrong refusals*: a request with a valid token that got anything but the upstream's answer while it must be served, or
//!   401 while there was nothing to decide with. Any other unexpected answer counts here too. There must be none.
//! - *wrong acceptances*: anything else that reached the upstream. There must be none.
//!
//! Scenarios run side by side, but the flood, which measures times and runs alone. `CHAOS_SECONDS` is how long each of its
//! phases takes, and an outage at least: 4 by default, 0 to leave out all of this. Arguments choose the scenarios
//! whose names contain one of them.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that panics fails the scenario that asked for it, and the table is what this is run for"
)]

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use fault::Fault;
use report::{Report, Table, message};
use restart::Tampering;

mod fault;
mod flood;
mod load;
mod outage;
mod report;
mod restart;
mod revocation;
mod rotation;
mod traffic;
mod world;

/// Scenarios that run at the same time: they wait most of the time, but a start is work.
const SIDE_BY_SIDE: usize = 10;

/// What happens, and its name.
struct Scenario {
    name: String,
    run: Box<dyn Fn() -> Report + Send + Sync>,
}

impl Scenario {
    fn new(name: impl Into<String>, run: impl Fn() -> Report + Send + Sync + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    fn report(&self) -> Report {
        let report = catch_unwind(AssertUnwindSafe(&self.run));
        report.unwrap_or_else(|panic| Report::broken(&self.name, message(&*panic)))
    }
}

/// Those that run side by side.
fn scenarios(phase: Duration) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for fault in Fault::ALL {
        let name = format!("key server {}", fault.name());
        scenarios.push(Scenario::new(name, move || outage::while_running(fault, phase)));
    }
    for fault in Fault::ALL {
        scenarios.push(Scenario::new(format!("start, key server {}", fault.name()), move || outage::at_start(fault)));
    }
    for tampering in Tampering::ALL {
        let name = format!("restart, {}", tampering.name());
        scenarios.push(Scenario::new(name, move || restart::with_tampered_file(tampering)));
    }
    scenarios.extend([
        Scenario::new("restart in an outage, with state_file", restart::with_state_file),
        Scenario::new("restart in an outage, without state_file", restart::without_state_file),
        Scenario::new("keys older than max_stale", outage::too_long),
        Scenario::new("live rotation", rotation::live),
        Scenario::new("key withdrawn", rotation::withdrawn),
        Scenario::new("same kid, other material", rotation::other_material),
        Scenario::new("session revoked in an outage", revocation::of_a_session),
    ]);
    scenarios
}

fn main() -> ExitCode {
    let seconds = env::var("CHAOS_SECONDS").map_or(Ok(4), |seconds| seconds.parse::<u64>());
    let Ok(seconds) = seconds else {
        println!("CHAOS_SECONDS is not a number of seconds");
        return ExitCode::FAILURE;
    };
    if seconds == 0 {
        println!("chaos: left out, as CHAOS_SECONDS=0 asks");
        return ExitCode::SUCCESS;
    }
    let (options, chosen): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with('-'));
    if options.iter().any(|option| option == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|part| name.contains(part.as_str()));

    let (phase, began) = (Duration::from_secs(seconds), Instant::now());
    let scenarios: Vec<_> = scenarios(phase).into_iter().filter(|scenario| is_chosen(&scenario.name)).collect();
    let mut reports = side_by_side(&scenarios);
    if is_chosen(flood::NAME) {
        reports.push(Scenario::new(flood::NAME, move || flood::random_keys(phase)).report());
    }
    if reports.is_empty() {
        println!("chaos: no scenario has such a name");
        return ExitCode::SUCCESS;
    }
    conclude(&reports, began)
}

/// Runs them, and returns their reports in order.
fn side_by_side(scenarios: &[Scenario]) -> Vec<Report> {
    let (turns, reports) = (Mutex::new(scenarios.iter().enumerate()), Mutex::new(Vec::new()));
    let next = || turns.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((number, scenario)) = next() {
                    let report = scenario.report();
                    reports.lock().into_iter().for_each(|mut reports| reports.push((number, report.clone())));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_unstable_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// Prints the table and what was wrong.
fn conclude(reports: &[Report], began: Instant) -> ExitCode {
    println!("\n{}", Table(reports));
    let mut is_wrong = false;
    for report in reports {
        for fault in report.all_faults() {
            println!("FAILED {}: {fault}", report.scenario);
            is_wrong = true;
        }
    }
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "{} scenarios, {:.0} s, {} requests, {} wrong refusals, {} wrong acceptances",
        reports.len(),
        began.elapsed().as_secs_f64(),
        sum(|report| report.served + report.refused + report.undecided),
        sum(|report| report.wrong_refusals),
        sum(|report| report.wrong_acceptances),
    );
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
