//! `access_log` and `tracing`: what is told about each request.

use std::ops::RangeInclusive;

use super::{NamedFiles, printable};
use crate::config::{
    collector::collector,
    file::{AccessLogSection, Period, Scalar, TracingSection},
    finding::At,
    model::{AccessLogConfig, LogTarget, TracingConfig},
};

/// `tracing.timeout`
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(100)..=Period::seconds(60);

/// The path that is no file. One of this name is written `./stdout`.
const STDOUT: &str = "stdout";

pub(super) fn access_log(section: AccessLogSection, files: &mut NamedFiles, at: &At<'_>) -> Option<AccessLogConfig> {
    let AccessLogSection { path, format: Scalar(format) } = section;
    let at = at.field("path");
    let target = match path.0.as_str() {
        STDOUT => LogTarget::Stdout,
        _ => LogTarget::File(files.write(path, &at)?),
    };
    Some(AccessLogConfig { target, format })
}

pub(super) fn tracing(section: TracingSection, at: &At<'_>) -> Option<TracingConfig> {
    let TracingSection {
        otlp: Scalar(otlp),
        sample: Scalar(sample),
        service_name: Scalar(service_name),
        timeout: Scalar(timeout),
    } = section;
    let endpoint = at.field("otlp").accept(collector(&otlp));
    let service_name = printable(service_name, &at.field("service_name"));
    let timeout = at.field("timeout").within(timeout, &TIMEOUT);
    Some(TracingConfig { endpoint: endpoint?, sample, service_name: service_name?, timeout: timeout?.0 })
}
