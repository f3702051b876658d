//! Integration tests: a real server, real clients, TLS on loopback. One binary, so that it links once.

mod harness;

mod delivery;
