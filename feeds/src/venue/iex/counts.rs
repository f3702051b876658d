//! What was read of IEX. In: segments and messages, as they are read. Out: how many of what. Bounded: a fixed table.

/// What was read so far.
#[derive(Clone, Debug)]
pub struct Counts {
    /// By the number of the protocol in the header: TOPS 1.5, TOPS 1.6, DEEP 1.0, DEEP+, any other.
    pub protocols: [u64; 5],
    /// Whole messages by their type.
    pub messages: Box<[u64; 256]>,
    pub segments: u64,
    pub heartbeats: u64,
    /// Segments that continue the one before.
    pub continued: u64,
    /// The stream began anew: a new session, or the sender was restarted.
    pub restarts: u64,
    pub gaps: u64,
    pub missing_messages: u64,
    pub duplicates: u64,
    /// Segments whose capture was cut.
    pub cut: u64,
    /// Messages shorter than their type is.
    pub short: u64,
    /// Messages of a type that is not known.
    pub unknown: u64,
    /// Payloads that are no segments.
    pub not_segments: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            protocols: [0; 5],
            messages: Box::new([0; 256]),
            segments: 0,
            heartbeats: 0,
            continued: 0,
            restarts: 0,
            gaps: 0,
            missing_messages: 0,
            duplicates: 0,
            cut: 0,
            short: 0,
            unknown: 0,
            not_segments: 0,
        }
    }
}

impl Counts {
    pub fn of(&self, kind: u8) -> u64 {
        self.messages[usize::from(kind)]
    }

    pub(super) fn protocol(&mut self, number: u16) {
        let at = match number {
            0x8002..=0x8005 => usize::from(number - 0x8002),
            _ => 4,
        };
        self.protocols[at] += 1;
    }
}
