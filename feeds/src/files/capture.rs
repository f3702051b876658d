//! In: a pcap or pcap-ng file, plain, gzip or zstd. Out: the UDP payloads in it, each with the time of its capture.
//! Bounded by one packet of at most `MAX_PACKET_BYTES`; what is no UDP is counted and left out.

use super::udp::{self, NotUdp};
use super::{FileError, FileFault};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{LegacyPcapBlock, Linktype, PcapBlockOwned, PcapError, create_reader};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::event::Nanos;

const BUFFER_BYTES: usize = 256 << 10;
/// No datagram is longer than 64 KiB; a block that claims more than this is damage.
const MAX_PACKET_BYTES: usize = 4 << 20;
/// More interfaces than any capture has; those beyond are not read.
const MAX_INTERFACES: usize = 256;

const NOT_UNPACKED: FileFault = FileFault::Damaged("it cannot be unpacked");

/// One UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub time: Nanos,
    pub payload: &'a [u8],
}

/// What was in the file besides whole datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    pub packets: u64,
    /// Not UDP: ARP, TCP, another kind of link.
    pub foreign: u64,
    /// Parts of datagrams that were sent in pieces.
    pub fragments: u64,
}

/// How to read the packets of one interface.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Ticks of its clock in a second.
    resolution: u64,
    offset_s: i64,
}

/// One capture file, read from its start.
pub struct Capture {
    file: PathBuf,
    reader: Box<dyn PcapReaderIterator + Send>,
    interfaces: Vec<Interface>,
    /// Of a pcap file (not pcap-ng): are its numbers big-endian.
    legacy: Option<bool>,
    payload: Vec<u8>,
    counts: CaptureCounts,
    torn: bool,
    /// A packed file was unpacked to its end, so far.
    unpacked: Arc<AtomicBool>,
}

/// What the block at hand is.
enum Found {
    Nothing,
    /// In `Capture::payload`.
    Datagram(Nanos),
    End,
}

impl Capture {
    pub fn open(file: &Path) -> Result<Self, FileError> {
        let unpacked = Arc::new(AtomicBool::new(true));
        let source = Whole { source: super::open(file)?, unpacked: unpacked.clone() };
        let reader = create_reader(BUFFER_BYTES, source).map_err(|error| match error {
            PcapError::ReadError => FileError::new(file, NOT_UNPACKED),
            _ => FileError::new(file, FileFault::NotACapture),
        })?;
        let counts = CaptureCounts::default();
        Ok(Self {
            file: file.to_owned(),
            reader,
            interfaces: Vec::new(),
            legacy: None,
            payload: Vec::new(),
            counts,
            torn: false,
            unpacked,
        })
    }

    pub fn counts(&self) -> CaptureCounts {
        self.counts
    }

    /// True if the file ended in the middle of something, which is where reading stopped.
    pub fn is_torn(&self) -> bool {
        self.torn || !self.unpacked.load(Ordering::Relaxed)
    }

    /// The next datagram, or `None` at the end.
    pub fn datagram(&mut self) -> Result<Option<Datagram<'_>>, FileError> {
        loop {
            let step = match self.reader.next() {
                // A block of no length would be read for ever.
                Ok((0, _)) => Err(Problem::Damaged),
                Ok((consumed, block)) => {
                    if let PcapBlockOwned::LegacyHeader(header) = &block {
                        self.legacy = Some(header.is_bigendian());
                    }
                    Ok((consumed, take(&block, &mut self.interfaces, &mut self.counts, &mut self.payload)))
                }
                Err(error) => Err(shape(&error)),
            };
            let (consumed, found) = match step {
                Ok(step) => step,
                Err(problem) => (0, self.refill(problem)?),
            };
            self.reader.consume(consumed);
            match found {
                Found::Nothing => {}
                Found::Datagram(time) => return Ok(Some(Datagram { time, payload: &self.payload })),
                Found::End => return Ok(None),
            }
        }
    }

    /// The file ends in the middle of a packet: what there is of it is the last one.
    fn tear(&mut self) -> Found {
        if std::mem::replace(&mut self.torn, true) {
            return Found::End;
        }
        let (Some(is_big), data) = (self.legacy, self.reader.data()) else { return Found::End };
        let field = |at: usize| {
            let bytes = *data.get(at..)?.first_chunk()?;
            Some(if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let (Some(ts_sec), Some(ts_usec), Some(data)) = (field(0), field(4), data.get(16..)) else { return Found::End };
        let packet = LegacyPcapBlock { ts_sec, ts_usec, caplen: data.len() as u32, origlen: data.len() as u32, data };
        match take(&PcapBlockOwned::Legacy(packet), &mut self.interfaces, &mut self.counts, &mut self.payload) {
            Found::Nothing => Found::End,
            found => found,
        }
    }

    fn refill(&mut self, problem: Problem) -> Result<Found, FileError> {
        match problem {
            Problem::Eof => return Ok(Found::End),
            Problem::Torn => return Ok(self.tear()),
            Problem::More => {}
            Problem::Larger => {
                let size = self.reader.data().len().max(BUFFER_BYTES) * 2;
                if size > MAX_PACKET_BYTES || !self.reader.grow(size) {
                    return Err(FileError::new(&self.file, FileFault::Damaged("a packet is longer than any can be")));
                }
            }
            Problem::Damaged => {
                return Err(FileError::new(&self.file, FileFault::Damaged("a block of the capture is malformed")));
            }
        }
        let before = self.reader.data().len();
        if self.reader.refill().is_err() {
            return Err(FileError::new(&self.file, NOT_UNPACKED));
        }
        if self.reader.data().len() == before && !self.reader.reader_exhausted() {
            return Err(FileError::new(&self.file, FileFault::Damaged("a block of the capture has no end")));
        }
        Ok(Found::Nothing)
    }
}

/// Fills what it is given (the parser takes a short read for the end of its header), and takes the end of a packed file for the end, even
/// where it should not be: who wrote it was stopped in the middle.
struct Whole {
    source: Box<dyn Read + Send>,
    unpacked: Arc<AtomicBool>,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() && self.unpacked.load(Ordering::Relaxed) {
            match self.source.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.unpacked.store(false, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// What the reader's error means, without what it borrows.
enum Problem {
    Eof,
    Torn,
    More,
    Larger,
    Damaged,
}

fn shape(error: &PcapError<&[u8]>) -> Problem {
    match error {
        PcapError::Eof => Problem::Eof,
        PcapError::UnexpectedEof => Problem::Torn,
        PcapError::Incomplete(_) => Problem::More,
        PcapError::BufferTooSmall => Problem::Larger,
        _ => Problem::Damaged,
    }
}

fn take(block: &PcapBlockOwned<'_>, interfaces: &mut Vec<Interface>, counts: &mut CaptureCounts, payload: &mut Vec<u8>) -> Found {
    let (interface, ticks, packet) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            *interfaces = vec![Interface { link: header.network, resolution, offset_s: 0 }];
            return Found::Nothing;
        }
        PcapBlockOwned::Legacy(packet) => {
            let Some(interface) = interfaces.first() else { return Found::Nothing };
            let ticks = u64::from(packet.ts_sec).saturating_mul(interface.resolution).saturating_add(u64::from(packet.ts_usec));
            (interface, ticks, packet.data)
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            return Found::Nothing;
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            let resolution = described.ts_resolution().unwrap_or(1_000_000).max(1);
            if interfaces.len() < MAX_INTERFACES {
                interfaces.push(Interface { link: described.linktype, resolution, offset_s: described.if_tsoffset });
            }
            return Found::Nothing;
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let Some(interface) = interfaces.get(packet.if_id as usize) else { return Found::Nothing };
            (interface, u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low), packet.packet_data())
        }
        PcapBlockOwned::NG(_) => return Found::Nothing,
    };
    counts.packets += 1;
    match udp::payload(interface.link, packet) {
        Ok(bytes) => {
            payload.clear();
            payload.extend_from_slice(bytes);
            Found::Datagram(interface.nanos(ticks))
        }
        Err(NotUdp::Fragment) => {
            counts.fragments += 1;
            Found::Nothing
        }
        Err(NotUdp::Foreign) => {
            counts.foreign += 1;
            Found::Nothing
        }
    }
}

impl Interface {
    fn nanos(self, ticks: u64) -> Nanos {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.resolution);
        let offset = self.offset_s.saturating_mul(1_000_000_000);
        Nanos::try_from(nanos).unwrap_or(Nanos::MAX).saturating_add(offset)
    }
}
