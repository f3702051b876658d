//! Integration tests: a real server, real clients, TLS on loopback. One binary, so that it links once.

mod harness;

mod config_errors;
mod delivery;
mod drain;
mod limits;
mod resync;
mod slow_reader;
mod third_party;
