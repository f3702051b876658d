//! A made-up venue whose facts can be set one by one, for tests of the engine. In: texts of a few words. Out: what they say.

use super::testkit::Bench;
use super::*;
use crate::adapter::Line;
use crate::settings::FeedSettings;
use wire::event::{Aggressor, Channel, Nanos};

/// Speaks in words: `book A first last previous price size`, `snap A last price size`, `trade A id`, `past A id` (a trade of before the
/// subscription), `quote A id bid`, `ask A id ask` (the bid stays), `frame n`, `hello`, `bye`, `ok n`, `no n`. Behind a book, a snapshot, a trade or a quote may stand `@time` and `#checksum`.
pub(super) struct Words {
    pub facts: Facts,
    pub streams: Vec<Stream>,
    pub categories: bool,
    pub lines: Option<u32>,
}

pub(super) fn stream(name: &'static str, channel: &'static [Channel], endpoint: usize) -> Stream {
    Stream { name, carries: channel, endpoint }
}

impl Words {
    pub fn new(facts: Facts) -> Self {
        let facts = Facts { listing: ListingFrom::Nothing, answered_by: AnsweredBy::Id, ..facts };
        let streams = vec![stream("book", &[Channel::Book], 0), stream("trade", &[Channel::Trade], 0)];
        Self { facts, streams, categories: false, lines: None }
    }

    /// With quotes, on so many lines.
    pub fn on_lines(facts: Facts, lines: u32) -> Self {
        let mut words = Self { lines: Some(lines), ..Self::new(facts) };
        words.streams.push(stream("quote", &[Channel::Quote], 0));
        words
    }

    pub fn bench(self, symbols: &[&str]) -> Bench {
        let (facts, streams) = (self.facts.clone(), self.streams.clone());
        let again = Self { facts, streams, categories: self.categories, lines: self.lines };
        let symbols = symbols.iter().map(|symbol| format!("!{symbol}")).collect();
        let settings = FeedSettings { symbols, lines: self.lines, ..FeedSettings::of_venue("words") };
        let own = Addresses { name: "words", ws_url: "wss://words", rest_url: "https://words" };
        Bench::of(engine(Box::new(self), own, &settings).unwrap(), Box::new(EngineDialect::new(Box::new(again))))
    }
}

impl Protocol for Words {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn urls(&self, base: &str) -> Vec<String> {
        vec![format!("{base}/0"), format!("{base}/1")]
    }

    fn serves(&self, endpoint: usize, native: &str) -> bool {
        !self.categories || native.starts_with('B') == (endpoint == 1)
    }

    fn request(&self, request: &Request<'_>) -> String {
        let topics: Vec<String> = request.topics.iter().map(|topic| format!("{}.{}", topic.stream.name, topic.native)).collect();
        let word = if request.operation == Operation::Subscribe { "sub" } else { "unsub" };
        format!("{word} {} {}", request.id, topics.join(" "))
    }

    fn decode(&mut self, _line: Line, payload: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        let text = std::str::from_utf8(payload).map_err(|_| "not text")?;
        let mut words: Vec<&str> = text.split(' ').collect();
        let mut extra = |mark: char| {
            let at = words.iter().position(|word| word.starts_with(mark))?;
            words.remove(at)[1..].parse::<u32>().ok()
        };
        let (time, checksum) = (extra('@').map_or(0, Nanos::from), extra('#'));
        let int = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match words[..] {
            ["book", native, _, _, _, price, size] => {
                let previous = Some(int(4)).filter(|id| *id > 0);
                let (first, last) = (int(2), int(3));
                out.book(native, BookUpdate { first, last, previous, checksum, time, ..BookUpdate::default() });
                out.bid(number(price), number(size));
            }
            ["snap", native, _, ref levels @ ..] => {
                let (first, last) = (int(2), int(2));
                out.book(native, BookUpdate { snapshot: true, first, last, checksum, time, ..BookUpdate::default() });
                levels.chunks_exact(2).for_each(|level| out.bid(number(level[0]), number(level[1])));
            }
            [word @ ("trade" | "past"), native, _] => {
                let (price, size) = (number("1"), number("1"));
                let (aggressor, id) = (Aggressor::Buy, Some(int(2)).filter(|id| *id > 0));
                let past = word == "past";
                out.trade(native, TradeUpdate { id, time, price, size, aggressor, past, ..TradeUpdate::default() });
            }
            ["quote", native, _, price] => {
                let bid = Part::At(RawLevel { price: number(price), size: number("1") });
                out.quote(native, QuoteUpdate { id: int(2), time, bid, ask: Part::Same });
            }
            ["ask", native, _, price] => {
                let ask = Part::At(RawLevel { price: number(price), size: number("1") });
                out.quote(native, QuoteUpdate { id: int(2), time, bid: Part::Same, ask });
            }
            ["frame", _, ref rest @ ..] => {
                out.frame(int(1));
                if let [native, price] = rest {
                    out.book(native, BookUpdate::default());
                    out.bid(number(price), number("1"));
                }
            }
            ["hello"] => out.hello(),
            ["bye"] => out.shutdown(),
            ["ok", _] => out.granted(About::Id(int(1))),
            ["no", _] => out.refused(About::Id(int(1)), "no"),
            _ => return Err("unknown words"),
        }
        Ok(())
    }

    fn snapshot_url(&self, base: &str, native: &str) -> String {
        format!("{base}/book/{native}")
    }

    fn snapshot(&mut self, _native: &str, body: &mut Vec<u8>, out: &mut Decoded) -> Result<(), Complaint> {
        self.decode(Line(0), body, out)
    }

    fn token_request(&self, base: &str) -> String {
        format!("{base}/token")
    }

    fn token_url(&self, json: &[u8]) -> Option<String> {
        String::from_utf8(json.to_vec()).ok()
    }

    fn ping(&self, id: u64, _time: Nanos) -> String {
        format!("ping {id}")
    }

    fn guess(&self, native: &str) -> Listed {
        Listed::spot(native, native, "USD")
    }

    fn checksum(&self, book: &Ladder, _scratch: &mut Vec<u8>) -> u32 {
        let levels = book.bids().map(|level| (level.price.mantissa * 1_000 + level.size.mantissa) as u32);
        levels.fold(0, u32::wrapping_add)
    }

    fn is_answer(&self, message: &[u8]) -> bool {
        message.starts_with(b"ok")
    }

    fn grants(&self, request: &str) -> Vec<String> {
        let mut words = request.split(' ');
        let word = words.next();
        if matches!(word, Some("sub" | "unsub")) { vec![format!("ok {}", words.next().unwrap())] } else { Vec::new() }
    }
}
