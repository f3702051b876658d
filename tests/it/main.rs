//! Integration tests: a real server, real clients, TLS on loopback. One binary, so that it links once.

mod harness;
#[path = "../support/prometheus.rs"]
mod prometheus;

mod config_errors;
mod delivery;
mod drain;
mod emulated;
mod freshness;
mod grafana;
mod limits;
mod load;
mod pressure;
mod quality;
mod recorded;
mod relay;
mod requests;
mod slow_reader;
mod third_party;
mod three_paces;
mod tickets;
