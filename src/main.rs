//! The `tickwire` program: parses the command line, runs one command, turns its outcome into an exit code.

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match tickwire::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tickwire: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
