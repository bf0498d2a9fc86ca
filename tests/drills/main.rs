//! Drills: endpoints die, hang, reset and lie, names move, clients dawdle, and what the others see of it is measured.
//!
//! Each drill has a proxy process of its own in front of real nginx servers, and steady traffic. It comes to a row of the table
//! that is printed in the end, and to promises: what must hold whatever happens, such as that no request fails that begins
//! after an endpoint was taken out of rotation. A promise that is broken fails the run.
//!
//! Drills run one after the other, because they measure times. `DRILL_SECONDS` is how long each trouble lasts: 5 by default.
//! Arguments choose the drills whose names contain one of them.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a helper that panics fails the drill that asked for it, and the table is what this is run for"
)]

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use report::{Report, Table, message};

mod client;
mod discovery;
mod endpoint;
mod load;
mod nginx;
mod report;
mod stage;

/// What happens, given how long it lasts.
type Drill = fn(&mut Report, Duration);

const DRILLS: [(&str, Drill); 11] = [
    ("endpoint killed", endpoint::killed),
    ("endpoint refuses connections", endpoint::refusing),
    ("endpoint hangs", endpoint::hanging),
    ("endpoint hangs, unwatched", endpoint::hanging_unwatched),
    ("endpoint is slow", endpoint::slow),
    ("endpoint resets connections", endpoint::resetting),
    ("endpoint answers 500", endpoint::failing),
    ("all endpoints gone, and back", endpoint::all_gone),
    ("name moves to another server", discovery::moved),
    ("client reads slowly", client::reads_slowly),
    ("client uploads slowly", client::uploads_slowly),
];

fn main() -> ExitCode {
    let seconds = env::var("DRILL_SECONDS").map_or(Ok(5), |seconds| seconds.parse::<u64>());
    let Ok(seconds @ 1..) = seconds else {
        println!("DRILL_SECONDS is not a number of seconds");
        return ExitCode::FAILURE;
    };
    let (options, chosen): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with('-'));
    if options.iter().any(|option| option == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|part| name.contains(part.as_str()));
    let began = Instant::now();
    let drills = DRILLS.into_iter().filter(|(name, _)| is_chosen(name));
    let reports: Vec<_> = drills.map(|(name, drill)| play(name, drill, Duration::from_secs(seconds))).collect();
    conclude(&reports, began)
}

fn play(name: &str, drill: Drill, lasts: Duration) -> Report {
    let mut report = Report::new(name);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drill(&mut report, lasts))) {
        report.require(false, || message(&*panic));
    }
    report
}

/// Prints the table and which promises were broken.
fn conclude(reports: &[Report], began: Instant) -> ExitCode {
    println!("\n{}", Table(reports));
    let broken: Vec<_> = reports.iter().flat_map(Report::broken_promises).collect();
    for promise in &broken {
        println!("FAILED {promise}");
    }
    println!("{} drills, {:.0} s, {} promises broken", reports.len(), began.elapsed().as_secs_f64(), broken.len());
    if broken.is_empty() && !reports.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
