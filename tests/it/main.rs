//! Integration tests: a real server, real clients, TLS on loopback. One binary, so that it links once.

mod harness;
#[path = "../support/prometheus.rs"]
mod prometheus;

mod delivery;
mod drain;
mod grafana;
mod limits;
mod slow_reader;
