//! What a subscriber holds of a topic: the views that records apply to, and their hashes. Server, client and audit share them.

pub mod book;
