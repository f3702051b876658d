//! In: peer addresses. Out: permits that count one connection for as long as they live.
//! Bounded by `max_connections`; the map of addresses holds only those with a live connection.

use crate::config::Listen;
use crate::metrics::{GateMetrics, Refusal};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many turned-away connections are answered with 503 at the same time. Each costs a TLS handshake (some 70 us of CPU),
/// which is worth a clear word to a few clients and not to a flood; the rest is closed without one.
const MAX_TURNED_AWAY: usize = 32;

/// A fresh connection on its way to a shard.
pub struct Arrival {
    /// Non-blocking and not registered with any reactor: the shard's runtime takes it.
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// Answer every request with 503 for this reason.
    pub(super) turn_away: Option<Refusal>,
    pub(super) _permit: Permit,
}

pub(super) struct Admission {
    max_connections: usize,
    max_per_address: usize,
    total: AtomicUsize,
    turned_away: AtomicUsize,
    /// Keys are chosen by strangers, hence the standard library's keyed hash.
    by_address: Mutex<HashMap<IpAddr, u32>>,
    metrics: Arc<GateMetrics>,
}

/// Gives its place back when dropped.
pub(super) struct Permit {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    load: Arc<AtomicUsize>,
}

impl Admission {
    pub(super) fn new(listen: &Listen, metrics: Arc<GateMetrics>) -> Arc<Self> {
        Arc::new(Self {
            max_connections: listen.max_connections,
            max_per_address: match listen.max_connections_per_address {
                0 => usize::MAX,
                limit => limit,
            },
            total: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            by_address: Mutex::default(),
            metrics,
        })
    }

    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// A permit that counts on `load`, the number of connections of one shard. With a reason beside it: only to be told no.
    /// Called by the accept loop alone, so check and count need not be one step.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, load: &Arc<AtomicUsize>) -> Result<(Permit, Option<Refusal>), Refusal> {
        let refusal = if self.total() >= self.max_connections {
            Some(Refusal::TooManyConnections)
        } else if self.is_crowded(peer) {
            Some(Refusal::TooManyFromAddress)
        } else {
            None
        };
        let address = match refusal {
            None => {
                *self.by_address.lock().entry(site(peer)).or_insert(0) += 1;
                self.total.fetch_add(1, Ordering::Relaxed);
                self.metrics.connections.add(1);
                Some(site(peer))
            }
            Some(refusal) if self.turned_away.load(Ordering::Relaxed) >= MAX_TURNED_AWAY => return Err(refusal),
            Some(_) => {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                None
            }
        };
        load.fetch_add(1, Ordering::Relaxed);
        Ok((Permit { admission: self.clone(), address, load: load.clone() }, refusal))
    }

    fn is_crowded(&self, peer: IpAddr) -> bool {
        self.by_address.lock().get(&site(peer)).is_some_and(|count| *count as usize >= self.max_per_address)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else {
            self.admission.turned_away.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        self.admission.metrics.connections.add(-1);
        let mut by_address = self.admission.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// Who is counted as one: an IPv4 address, or an IPv6 /64, which is what one customer usually gets.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max_connections: usize, max_connections_per_address: usize) -> Arc<Admission> {
        let listen = Listen { max_connections, max_connections_per_address, ..Listen::default() };
        Admission::new(&listen, Arc::default())
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let admission = admission(3, 2);
        let load = Arc::new(AtomicUsize::new(0));
        let one: IpAddr = "10.0.0.1".parse().unwrap();
        let enter = |peer: &str| admission.enter(peer.parse().unwrap(), &load);
        let (first, refusal) = enter("10.0.0.1").unwrap();
        assert_eq!(refusal, None);
        let (_second, refusal) = enter("::ffff:10.0.0.1").unwrap();
        assert_eq!(refusal, None);
        let (third, refusal) = enter("10.0.0.1").unwrap();
        assert_eq!(refusal, Some(Refusal::TooManyFromAddress));
        assert_eq!((admission.total(), load.load(Ordering::Relaxed)), (2, 3));
        drop((first, third));
        assert!(!admission.is_crowded(one));
        let (_a, _b) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(admission.is_crowded("2001:db8::ffff".parse().unwrap()), "one /64 is one site");
        assert_eq!(enter("10.0.0.9").unwrap().1, Some(Refusal::TooManyConnections));
    }

    #[test]
    fn few_are_told_no_and_the_rest_is_dropped() {
        let admission = admission(0, 1);
        let load = Arc::new(AtomicUsize::new(0));
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let told: Vec<_> = (0..MAX_TURNED_AWAY).map(|_| admission.enter(peer, &load).map_err(drop).unwrap()).collect();
        assert_eq!(admission.enter(peer, &load).err(), Some(Refusal::TooManyConnections));
        drop(told);
        assert_eq!(load.load(Ordering::Relaxed), 0);
        assert!(admission.by_address.lock().is_empty());
    }
}
