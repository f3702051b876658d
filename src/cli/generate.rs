//! `tickwire generate itch`: a made day. In: a seed, how many stocks and messages. Out: a BinaryFILE on standard output or in a file.
//! Bounded: one message at a time.

use super::CliError;
use feeds::venue::itch::generate::{Day, Settings};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// A day of Nasdaq TotalView-ITCH 5.0 with every type of message, as a BinaryFILE
    Itch {
        /// Same seed, same day
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
        stocks: u32,
        /// About so many, the list of stocks aside
        #[arg(long, default_value_t = 100_000)]
        messages: u64,
        /// Write here instead of to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub fn run(args: Args) -> Result<(), CliError> {
    let What::Itch { seed, stocks, messages, out } = args.what;
    let into: Box<dyn Write> = match &out {
        Some(file) => Box::new(File::create(file).map_err(|error| CliError::usage(format!("{}: {error}", file.display())))?),
        None if std::io::stdout().is_terminal() => {
            return Err(CliError::usage("a day is binary: write it to a file with --out FILE or > FILE"));
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut into = BufWriter::new(into);
    let written =
        Day::new(Settings { seed, stocks, messages }).write(&mut into).and_then(|written| into.flush().map(|()| written));
    match written {
        Ok(written) => eprintln!("tickwire: {written} messages"),
        // Whoever read it (`head`) has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => return Err(CliError::failed(error)),
    }
    Ok(())
}
