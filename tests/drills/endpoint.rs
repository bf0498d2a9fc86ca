//! Servers that fail, each in its own way.

use std::time::{Duration, Instant};

use crate::{
    load::{CLIENTS, Sample, pause},
    nginx::{Nginx, Trouble},
    report::Report,
    stage::{READ_TIMEOUT, RECOVERY, Stage},
};

/// Checked often, so that a drill is short, and left out after three failures in a row.
const WATCHED: &str = "health_check: { path: /healthz, interval: 500ms, timeout: 400ms, unhealthy_after: 2 }
    outlier: { consecutive_failures: 3, eject_for: 500ms }";

/// Nobody asks whether they are well: only requests tell.
const UNWATCHED: &str = "outlier: { consecutive_failures: 3, eject_for: 500ms }";

/// How many failures of an endpoint take it out of rotation.
const CONSECUTIVE_FAILURES: usize = 3;

/// What a machine with other things to do may add to a time.
const SLACK: Duration = Duration::from_secs(1);

/// The first of three is killed while it answers. Requests that it had begun to answer are lost; those that come on its dead
/// connections are tried elsewhere.
pub(crate) fn killed(report: &mut Report, lasts: Duration) {
    let mut stage = Stage::start(WATCHED);
    one_of_three(report, &mut stage, lasts, |stage| stage.servers.first_mut().unwrap().kill(), |_| {});
    report.require_failures(CLIENTS);
    report.require_statuses(&[502, 0]);
    report.require_longest(READ_TIMEOUT + SLACK);
}

/// The first of three is frozen: connections are made, and nothing comes back.
pub(crate) fn hanging(report: &mut Report, lasts: Duration) {
    let mut stage = Stage::start(WATCHED);
    one_of_three(report, &mut stage, lasts, |stage| stage.servers.first().unwrap().freeze(), |_| {});
    // At most those that waited for it when it froze, and once more as many before it was found out.
    report.require_failures(2 * CLIENTS);
    report.require_statuses(&[504]);
    report.require_longest(READ_TIMEOUT + SLACK);
}

/// The same, and nobody asks whether it is well but by a connection, which the kernel makes for it: each return costs a request,
/// and a second one where the first is not decided in the time that it was out.
pub(crate) fn hanging_unwatched(report: &mut Report, lasts: Duration) {
    let mut stage = Stage::start(UNWATCHED);
    let load = stage.load("GET");
    let first = stage.servers.first().unwrap().address();
    let began = report.begin();
    stage.servers.first().unwrap().freeze();
    let out = stage.await_rotation(first, false);
    pause(lasts.max(READ_TIMEOUT * 3).saturating_sub(began.elapsed()));
    stage.servers.first_mut().unwrap().revive();
    let healed = Instant::now();
    let back = load.await_sample("served by it again", |sample| sample.endpoint == Some(first) && sample.is_good());
    report.recovered_after(back.begun - healed);
    stage.finish(report, load);
    let ejections = stage.proxy.metrics().sum("cognigate_upstream_ejections_total", &[]);
    report.note(format!("out of rotation after {:.2} s, {ejections} times", (out - began).as_secs_f64()));
    report.require(ejections > 1.0, || "it never returned".to_owned());
    // It returns after each ejection, the last one included.
    let returns = (0..).take_while(|count| f64::from(*count) < ejections).count();
    report.require_failures(CLIENTS + CONSECUTIVE_FAILURES + 2 * returns);
    report.require_statuses(&[504]);
    report.require_longest(READ_TIMEOUT + SLACK);
    report.require_recovery(Duration::from_secs(6));
}

/// The first of three resets each connection that brings a request.
pub(crate) fn resetting(report: &mut Report, lasts: Duration) {
    trouble(report, lasts, Trouble::Resetting);
    report.require_statuses(&[502]);
    report.require_failures(CONSECUTIVE_FAILURES + CLIENTS);
}

/// The first of three answers 500 to everything.
pub(crate) fn failing(report: &mut Report, lasts: Duration) {
    trouble(report, lasts, Trouble::Failing);
    report.require_statuses(&[500]);
    report.require_failures(CONSECUTIVE_FAILURES + CLIENTS);
}

fn trouble(report: &mut Report, lasts: Duration, trouble: Trouble) {
    let mut stage = Stage::start(WATCHED);
    let first = |stage: &mut Stage| stage.servers.first().unwrap().trouble(trouble);
    one_of_three(report, &mut stage, lasts, first, |stage| stage.servers.first().unwrap().end(trouble));
}

/// Something happens to the first of three servers, until it is over. No request may fail that begins after the server was
/// taken out of rotation.
fn one_of_three(
    report: &mut Report,
    stage: &mut Stage,
    lasts: Duration,
    happen: impl FnOnce(&mut Stage),
    end: impl FnOnce(&mut Stage),
) {
    let load = stage.load("GET");
    let first = stage.servers.first().unwrap().address();
    let began = report.begin();
    happen(stage);
    let out = stage.await_rotation(first, false);
    pause(lasts.saturating_sub(began.elapsed()));
    end(stage);
    stage.servers.first_mut().unwrap().revive();
    let healed = Instant::now();
    let back = load.await_sample("served by it again", |sample| sample.endpoint == Some(first) && sample.is_good());
    report.recovered_after(back.begun - healed);
    stage.finish(report, load);
    report.note(format!("out of rotation after {:.2} s", (out - began).as_secs_f64()));
    report.require_no_failure(out, "after it was out of rotation");
    report.require_recovery(RECOVERY);
}

/// The first of three refuses connections from the beginning, and nobody asks whether it is well. Not even a POST may fail: no
/// byte of it was sent.
pub(crate) fn refusing(report: &mut Report, lasts: Duration) {
    let mut stage = Stage::start(UNWATCHED);
    let first = stage.servers.first().unwrap().address();
    stage.servers.first_mut().unwrap().kill();
    let began = report.begin();
    let load = stage.load("POST");
    let out = stage.await_rotation(first, false);
    pause(lasts.saturating_sub(began.elapsed()));
    stage.servers.first_mut().unwrap().revive();
    let healed = Instant::now();
    let back = load.await_sample("served by it again", |sample| sample.endpoint == Some(first));
    // Each time in a row it is left out for longer, up to ten times as long.
    report.recovered_after(back.begun - healed);
    stage.finish(report, load);
    report.note(format!("out of rotation after {:.2} s", (out - began).as_secs_f64()));
    report.require_failures(0);
    report.require_recovery(Duration::from_secs(6));
}

/// The first of three takes a second for an answer that takes the others a millisecond. Who chooses the endpoint with fewer
/// requests in flight hardly notices.
pub(crate) fn slow(report: &mut Report, lasts: Duration) {
    let stage = Stage::start("balance: least_requests");
    let first = stage.servers.first().unwrap();
    let load = stage.load("GET");
    report.begin();
    first.trouble(Trouble::Slow);
    let since = Instant::now();
    pause(lasts);
    first.end(Trouble::Slow);
    let until = Instant::now();
    let is_quick = |took: Duration| took < Duration::from_millis(250);
    let back = load.await_sample("served by it again", |s| s.endpoint == Some(first.address()) && is_quick(s.took));
    report.recovered_after(back.begun - until);
    let samples = load.stop();
    let during = || samples.iter().filter(|sample| (since..until).contains(&sample.begun));
    let share =
        during().filter(|sample| sample.endpoint == Some(first.address())).count() as f64 / during().count() as f64;
    let took = during().filter(|s| s.endpoint == Some(first.address())).map(|s| s.took).max().unwrap_or_default();
    report.take(samples.clone(), stage.proxy.metrics().sum("cognigate_upstream_retries_total", &[]));
    report.note(format!("its share: {:.1} %", share * 100.0));
    report.require(took > Duration::from_millis(500), || format!("it was not slow: {took:?}"));
    report.require(share < 0.15, || format!("{:.1} % of the requests went to the slow one", share * 100.0));
    report.require_failures(0);
    report.require_longest(Duration::from_secs(5));
    report.require_recovery(RECOVERY);
}

/// All three are killed. Everybody is told so soon, and everything is well by itself when they are back.
pub(crate) fn all_gone(report: &mut Report, lasts: Duration) {
    let mut stage = Stage::start(WATCHED);
    let load = stage.load("GET");
    let began = report.begin();
    stage.servers.iter_mut().for_each(Nginx::kill);
    for server in &stage.servers {
        stage.await_rotation(server.address(), false);
    }
    let out = began.elapsed();
    pause(lasts.saturating_sub(began.elapsed()));
    stage.servers.iter_mut().for_each(Nginx::revive);
    let healed = Instant::now();
    let back = load.await_sample("served again", Sample::is_good);
    report.recovered_after(back.begun - healed);
    let all_back = stage.servers.iter().map(|server| stage.await_rotation(server.address(), true)).max().unwrap();
    stage.finish(report, load);
    report.note(format!("all out of rotation after {:.2} s", out.as_secs_f64()));
    report.require_statuses(&[502, 503, 0]);
    report.require_longest(SLACK);
    report.require_no_failure(all_back, "after all were back in rotation");
    report.require_recovery(RECOVERY);
}
