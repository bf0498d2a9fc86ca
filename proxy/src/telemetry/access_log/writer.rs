//! The thread that writes the lines.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    sink::{CAPACITY, Sink},
    target::{Target, Written},
};

/// How long nothing more is said after a complaint: a full disk fails many times a second.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Writes what `sink` gives to `target`, until there will be no more.
pub(super) fn run(sink: &Sink, mut target: Target) {
    let (mut lines, mut complaints) = (Vec::with_capacity(CAPACITY), Complaints::default());
    while let Some(turn) = sink.take(&mut lines) {
        if turn.reopens {
            let (torn, outcome) = target.reopen();
            sink.metrics.failed.inc_by(torn);
            if let Err(error) = outcome {
                // Rare, and asked for by somebody who waits for it.
                tracing::error!(log = %target, %error, "the access log cannot be opened anew, it goes on where it was");
            }
        }
        let Written { written, failed, fault } = target.write(&lines, || sink.is_closed());
        sink.metrics.written.inc_by(written);
        sink.metrics.failed.inc_by(failed);
        if let Some(error) = fault {
            complaints.say(&target, failed, &error);
        }
    }
    sink.metrics.failed.inc_by(target.abandon());
}

/// What went wrong, told now and then.
#[derive(Debug, Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, target: &Target, lines: u64, error: &io::Error) {
        if self.0.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            self.0 = Some(Instant::now());
            tracing::error!(log = %target, lines, %error, "lines of the access log are lost");
        }
    }
}
