//! Servers that are found by name.

use std::time::{Duration, Instant};

use e2e::dns::{NameServer, Reply};

use crate::{load::pause, nginx::Nginx, report::Report, stage::Stage};

/// The time to live of an answer is a second; it may be asked for a little later, and take a moment to be taken over.
const SWITCH: Duration = Duration::from_secs(3);

/// A name gets the address of another server, and once requests go there the old one is killed. Nobody notices.
pub(crate) fn moved(report: &mut Report, lasts: Duration) {
    let names = NameServer::start();
    let [old, new] = [Nginx::start(), Nginx::start()];
    let say = |server: &Nginx| names.say("servers.test.", Reply::Addresses(1, vec![server.address().ip()]));
    say(&old);
    let resolver = format!("resolver: {{ servers: [\"{}\"] }}", names.address());
    let dns = format!("dns: servers.test.:{}", old.address().port());
    let [from, to] = [old.address(), new.address()];
    let mut stage = Stage::serve(vec![old, new], &dns, &resolver);
    stage.await_rotation(from, true);
    let load = stage.load("GET");
    load.await_sample("served by the old one", |sample| sample.endpoint == Some(from));
    let began = report.begin();
    say(stage.servers.last().unwrap());
    let there = load.await_sample("served by the new one", |sample| sample.endpoint == Some(to));
    report.recovered_after(there.begun - began);
    // Requests that had chosen the old one before.
    pause(Duration::from_millis(500));
    let killed = Instant::now();
    stage.servers.first_mut().unwrap().kill();
    pause(lasts.saturating_sub(began.elapsed()));
    stage.finish(report, load);
    report.note(format!("the old one was killed after {:.2} s", (killed - began).as_secs_f64()));
    report.require_failures(0);
    report.require_recovery(SWITCH);
}
