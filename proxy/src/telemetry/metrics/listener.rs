//! What is counted about listeners and their connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{registered, reload};

/// The metrics of every listener.
#[derive(Clone, Debug)]
pub(super) struct ListenerFamilies {
    connections: IntGaugeVec,
    accept_failures: IntCounterVec,
    handshake_failures: IntCounterVec,
    certificate_reloads: IntCounterVec,
    certificate_expiry: IntGaugeVec,
}

/// What is counted about the connections of a listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    connections: IntGauge,
    /// Connections that could not be accepted.
    pub accept_failures: IntCounter,
    /// Connections that ended in the TLS handshake.
    pub handshake_failures: IntCounter,
    /// What is told about its certificates.
    pub certificates: CertificateMetrics,
}

/// What is told about the certificates of a listener.
#[derive(Clone, Debug)]
pub struct CertificateMetrics {
    listener: Box<str>,
    /// Changes that were taken over.
    pub success: IntCounter,
    /// Changes that were not.
    pub failure: IntCounter,
    expiry: IntGaugeVec,
}

/// Counts a connection until it is dropped, also when its task panics.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl ListenerFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let gauges =
            |name, help, labels: &[&str]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?);
        Ok(Self {
            connections: gauges(
                "cognigate_downstream_connections",
                "Connections of clients that are open.",
                &["listener"],
            )?,
            accept_failures: counters(
                "cognigate_accept_failures_total",
                "Connections that could not be accepted, for want of descriptors or memory.",
                &["listener"],
            )?,
            handshake_failures: counters(
                "cognigate_tls_handshake_failures_total",
                "Connections that ended in the TLS handshake.",
                &["listener"],
            )?,
            certificate_reloads: counters(
                "cognigate_tls_certificate_reloads_total",
                "Certificate files that changed, by whether what is in them was taken over.",
                &["listener", "result"],
            )?,
            certificate_expiry: gauges(
                "cognigate_tls_certificate_expiry_timestamp_seconds",
                "When a certificate that clients are shown expires.",
                &["listener", "certificate"],
            )?,
        })
    }

    pub(super) fn listener(&self, address: &str) -> ListenerMetrics {
        let reloads = |result| self.certificate_reloads.with_label_values(&[address, result]);
        ListenerMetrics {
            connections: self.connections.with_label_values(&[address]),
            accept_failures: self.accept_failures.with_label_values(&[address]),
            handshake_failures: self.handshake_failures.with_label_values(&[address]),
            certificates: CertificateMetrics {
                listener: address.into(),
                success: reloads("success"),
                failure: reloads("failure"),
                expiry: self.certificate_expiry.clone(),
            },
        }
    }

    pub(super) fn retain(&self, is_listener: impl Fn(&str) -> bool) {
        reload::retain(&self.connections, "listener", &is_listener);
        reload::retain(&self.accept_failures, "listener", &is_listener);
        reload::retain(&self.handshake_failures, "listener", &is_listener);
        reload::retain(&self.certificate_reloads, "listener", &is_listener);
        reload::retain(&self.certificate_expiry, "listener", &is_listener);
    }
}

impl ListenerMetrics {
    /// Counts a connection as open.
    #[must_use]
    pub fn open(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }
}

impl CertificateMetrics {
    /// The listener's address.
    #[must_use]
    pub fn listener(&self) -> &str {
        &self.listener
    }

    /// Says when the certificate in this file expires, in seconds since 1970.
    pub fn set_expiry(&self, file: &str, seconds: i64) {
        self.expiry.with_label_values(&[&*self.listener, file]).set(seconds);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
