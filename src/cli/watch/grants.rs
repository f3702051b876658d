//! Frames granted by the clock. In: frames a second, the server's limit of requests, frames that came. Out: when to grant how many.
//! Bounded: never more ahead than a second's worth, so that a quiet market saves nothing up.

use std::time::Duration;

/// Of the requests a second that the server takes, this part may be grants.
const SHARE_OF_COMMANDS: u32 = 2;

#[derive(Debug)]
pub struct Grants {
    frames_per_second: u32,
    /// Granted and not yet used.
    ahead: u32,
    /// Grants a second.
    per_second: u32,
    /// Frames owed, in parts of a frame: `per_second` of them make one.
    owed: u32,
}

impl Grants {
    pub fn new(frames_per_second: u32) -> Self {
        Self { frames_per_second, ahead: 0, per_second: frames_per_second, owed: 0 }
    }

    /// A connection begins, without any credit. `commands_per_second` 0 = no limit.
    pub fn connected(&mut self, commands_per_second: u32) {
        let most = if commands_per_second == 0 { u32::MAX } else { (commands_per_second / SHARE_OF_COMMANDS).max(1) };
        self.per_second = self.frames_per_second.min(most);
        (self.ahead, self.owed) = (0, 0);
    }

    /// Time from one grant to the next.
    pub fn step(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    /// How many frames to grant now, one step after the last time; 0 = none.
    pub fn due(&mut self) -> u32 {
        self.owed += self.frames_per_second;
        let frames = (self.owed / self.per_second).min(self.frames_per_second - self.ahead);
        self.owed %= self.per_second;
        self.ahead += frames;
        frames
    }

    /// A frame with data came.
    pub fn used(&mut self) {
        self.ahead = self.ahead.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_keep_their_rate_and_the_servers_limit() {
        let mut grants = Grants::new(10);
        grants.connected(5);
        assert_eq!(grants.step(), Duration::from_millis(500));
        assert_eq!((grants.due(), grants.due(), grants.due()), (5, 5, 0), "no more than a second's worth ahead");
        (0..10).for_each(|_| grants.used());
        assert_eq!(grants.due(), 5);
        grants.connected(0);
        assert_eq!((grants.step(), grants.due()), (Duration::from_millis(100), 1));
        let mut grants = Grants::new(7);
        grants.connected(4);
        let ten_seconds: u32 = (0..20).map(|_| (grants.due(), (0..9).for_each(|_| grants.used())).0).sum();
        assert_eq!(ten_seconds, 70);
    }
}
