//! `health_check` and `outlier` of an upstream: how endpoints are known to be well.

use std::{num::NonZeroU32, ops::RangeInclusive};

use http::uri::PathAndQuery;

use super::where_given;
use crate::config::{
    file::{HealthCheckSection, OutlierSection, Period, Scalar},
    finding::At,
    host_port::host_port,
    model::{HealthCheckConfig, OutlierConfig, Probe, StatusRange},
    rule::BrokenRule,
};

/// `health_check.interval`
const INTERVAL: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(1);

/// `health_check.timeout`
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(10)..=Period::seconds(60);

/// `health_check.healthy_after` and `health_check.unhealthy_after`
const IN_A_ROW: RangeInclusive<u64> = 1..=100;

/// The longest `health_check.path`, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// The longest `health_check.body_contains`, in bytes.
const MAX_BODY_BYTES: usize = 256;

/// What `health_check.statuses` is where the file does not say.
const GOOD: StatusRange = StatusRange { first: 200, last: 299 };

/// `outlier.consecutive_failures`
const FAILURES: RangeInclusive<u64> = 0..=1000;

/// `outlier.eject_for`
const EJECT_FOR: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(1);

pub(super) fn check(section: HealthCheckSection, at: &At<'_>) -> Option<HealthCheckConfig> {
    let HealthCheckSection {
        path,
        tcp: Scalar(tcp),
        host,
        statuses,
        body_contains,
        interval: Scalar(interval),
        timeout: Scalar(timeout),
        healthy_after: Scalar(healthy_after),
        unhealthy_after: Scalar(unhealthy_after),
    } = section;
    let answer = Answer { host, statuses, body_contains };
    let probe = match (path, tcp) {
        (Some(Scalar(path)), false) => http(path, answer, at),
        (None, true) => tcp_only(&answer, at),
        (Some(_), true) => at.refuse(BrokenRule::ProbesContradict),
        (None, false) => at.refuse(BrokenRule::ProbeMissing),
    };
    let interval = at.field("interval").within(interval, &INTERVAL);
    let timeout = at.field("timeout").within(timeout, &TIMEOUT);
    let healthy_after = count(healthy_after, &at.field("healthy_after"));
    let unhealthy_after = count(unhealthy_after, &at.field("unhealthy_after"));
    let (interval, timeout) = (interval?, timeout?);
    if timeout > interval {
        let (found, most) = (timeout.to_string(), interval.to_string());
        at.field("timeout").report(BrokenRule::MoreThanKey { found, key: "interval", most });
    }
    Some(HealthCheckConfig {
        probe: probe?,
        interval: interval.0,
        timeout: timeout.0,
        healthy_after: healthy_after?,
        unhealthy_after: unhealthy_after?,
    })
}

/// What a check over HTTP asks with, and what it wants to hear.
struct Answer {
    host: Option<Scalar<String>>,
    statuses: Option<Vec<Scalar<StatusRange>>>,
    body_contains: Option<Scalar<String>>,
}

fn http(path: String, answer: Answer, at: &At<'_>) -> Option<Probe> {
    let Answer { host, statuses, body_contains } = answer;
    let path = match is_target(&path) {
        true => Some(path.into_boxed_str()),
        false => at.field("path").refuse(BrokenRule::ProbePath(path)),
    };
    let host = host.map(|Scalar(host)| match host_port(&host) {
        Some(_) => Some(host.into_boxed_str()),
        None => at.field("host").refuse(BrokenRule::RequestHost(host)),
    });
    let statuses = match statuses {
        Some(list) if list.is_empty() => at.field("statuses").refuse(BrokenRule::Empty),
        Some(list) => Some(ranges(list, &at.field("statuses"))),
        None => Some([GOOD].into()),
    };
    let body_contains = body_contains.map(|Scalar(text)| match (1..=MAX_BODY_BYTES).contains(&text.len()) {
        true => Some(text.into_boxed_str()),
        false => at.field("body_contains").refuse(BrokenRule::BodyText(text.len())),
    });
    Some(Probe::Http {
        path: path?,
        host: where_given(host)?,
        statuses: statuses?,
        body_contains: where_given(body_contains)?,
    })
}

/// Connections are made and closed: there is nothing to ask with, and no answer.
fn tcp_only(answer: &Answer, at: &At<'_>) -> Option<Probe> {
    let Answer { host, statuses, body_contains } = answer;
    let keys = [("host", host.is_some()), ("statuses", statuses.is_some()), ("body_contains", body_contains.is_some())];
    for (key, _) in keys.iter().filter(|(_, is_given)| *is_given) {
        at.field(key).report(BrokenRule::ProbeAsksNothing);
    }
    Some(Probe::Tcp)
}

/// What a `GET` can ask for: the path and the query of a URL.
fn is_target(text: &str) -> bool {
    let is_printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    let parsed = text.parse::<PathAndQuery>();
    is_printable && text.starts_with('/') && text.len() <= MAX_PATH_BYTES && parsed.is_ok_and(|parsed| parsed == text)
}

pub(super) fn outlier(section: OutlierSection, at: &At<'_>) -> Option<Option<OutlierConfig>> {
    let OutlierSection {
        consecutive_failures: Scalar(failures),
        eject_for: Scalar(eject_for),
        max_ejected: Scalar(max_ejected),
        statuses,
    } = section;
    let failures = at.field("consecutive_failures").within(failures, &FAILURES);
    let eject_for = at.field("eject_for").within(eject_for, &EJECT_FOR);
    let statuses = ranges(statuses, &at.field("statuses"));
    let (failures, eject_for) = (u32::try_from(failures?).ok()?, eject_for?.0);
    let outlier = |consecutive_failures| OutlierConfig { consecutive_failures, eject_for, max_ejected, statuses };
    Some(NonZeroU32::new(failures).map(outlier))
}

fn ranges(list: Vec<Scalar<StatusRange>>, at: &At<'_>) -> Box<[StatusRange]> {
    let ranges: Box<[StatusRange]> = list.into_iter().map(|Scalar(range)| range).collect();
    for (index, range) in ranges.iter().enumerate() {
        let common = |earlier: &StatusRange| {
            let first = range.first.max(earlier.first);
            (first <= range.last.min(earlier.last)).then_some(first)
        };
        if let Some(status) = ranges.iter().take(index).find_map(common) {
            at.item(index).report(BrokenRule::Duplicate(status.to_string()));
        }
    }
    ranges
}

fn count(found: u64, at: &At<'_>) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(at.within(found, &IN_A_ROW)?).ok()?)
}
