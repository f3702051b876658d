//! The commands: arguments in, exit code out. One file a command.

pub mod check;
pub mod error;
pub use error::CliError;
