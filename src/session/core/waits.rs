//! What a session waits for. In: its wake-ups, listings, the clock. Out: a future that ends when there is something to do. Bounded: one
//! timer a wait.

use super::SessionCore;
use crate::shard::Shard;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a session waits for, apart from the session itself, which others may use meanwhile.
pub struct Waits {
    wake: Rc<Notify>,
    shard: Rc<Shard>,
    listings: Option<u64>,
    look_at: Option<i64>,
}

impl Waits {
    /// Returns when the session has something to do. `due_in` is the session's.
    pub async fn something(&self, due_in: impl Fn() -> Option<Duration>) {
        tokio::select! {
            () = self.due(due_in) => {}
            () = self.others() => {}
        }
    }

    /// What only few sessions wait for is boxed, so that the others have no room for it.
    async fn others(&self) {
        if self.listings.is_none() && self.look_at.is_none() {
            return std::future::pending().await;
        }
        let either = async {
            tokio::select! {
                () = self.listed() => {}
                () = self.looks() => {}
            }
        };
        Box::pin(either).await;
    }

    async fn due(&self, due_in: impl Fn() -> Option<Duration>) {
        loop {
            // Taken before the look, so that a wake-up in between is not lost.
            let woken = self.wake.notified();
            match due_in() {
                Some(Duration::ZERO) => return,
                Some(wait) => Box::pin(tokio::time::sleep(wait)).await,
                None => woken.await,
            }
        }
    }

    /// Topics were listed that it may be waiting for.
    pub async fn listed(&self) {
        match self.listings {
            None => std::future::pending().await,
            Some(seen) => self.shard.listed_since(seen).await,
        }
    }

    /// The age of what the client shows is to be looked at.
    async fn looks(&self) {
        match self.look_at {
            None => std::future::pending().await,
            Some(at) => {
                let wait = u64::try_from(at - self.shard.context.clock.mono_ns()).unwrap_or(0);
                tokio::time::sleep(Duration::from_nanos(wait)).await;
            }
        }
    }
}

impl SessionCore {
    /// What it waits for now.
    pub fn waits(&self) -> Waits {
        Waits {
            wake: self.wake.clone(),
            shard: self.shard.clone(),
            listings: self.awaits_listings().then_some(self.seen_listings),
            look_at: self.next_look(),
        }
    }
}
