//! An edge proxy that verifies Amazon Cognito tokens in front of HTTP services.
//!
//! Configuration flows one way: a file becomes a [`config::Config`], which becomes a [`runtime::Runtime`], which
//! [`service::EdgeService`] serves requests with. [`app`] is the only module that knows every part.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod context;
pub mod cutoff;
pub mod drain;
pub mod filter;
pub mod key_file;
pub mod lifecycle;
pub mod listener;
pub mod rate;
pub mod reload;
pub mod response;
pub mod revocation;
pub mod route;
pub mod runtime;
pub mod service;
pub mod subscriber;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod watch;
