//! What was read of DBN. In: records, as they are read. Out: how many of what. Bounded: a fixed table.

/// What was read so far.
#[derive(Clone, Debug)]
pub struct Counts {
    /// By the record's type (`rtype`).
    pub records: Box<[u64; 256]>,
    /// Order records by their action.
    pub actions: Box<[u64; 256]>,
    /// Records shorter than their type is.
    pub short: u64,
    /// Records of a type that is not known.
    pub unknown: u64,
    /// Order records that tell a level, not an order.
    pub no_orders: u64,
    /// Orders that were not there, or there already, in a book that was whole until then.
    pub misfits: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { records: Box::new([0; 256]), actions: Box::new([0; 256]), short: 0, unknown: 0, no_orders: 0, misfits: 0 }
    }
}
