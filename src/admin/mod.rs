//! In: plain HTTP requests of operators and of Prometheus. Out: /metrics, /healthz, /readyz, /version, /status.
//! Bounded: `MAX_CONNECTIONS` at a time, a deadline each; on a port of its own, which is loopback unless the configuration says so.

mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use serve::{Ready, start};
