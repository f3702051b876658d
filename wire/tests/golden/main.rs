//! In: the vectors of `wire/golden/` and the text of `docs/protocol.md`. Out: proof that code, vectors and specification agree.
//! Bounded: a few small files. `TICKWIRE_BLESS=1` writes the vectors and their copies in the specification anew.

mod doc;
mod vectors;

use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn blessing() -> bool {
    std::env::var_os("TICKWIRE_BLESS").is_some()
}
