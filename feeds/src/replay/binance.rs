//! What a Binance stream message is, without an adapter: for looking over recordings and for emulating the venue.
//! In: one message, or one REST body. Out: symbol, kind, update ids and decimal texts, borrowed. Bounded by the message.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One market-data message, wrapped (`{"stream":…,"data":…}`) or raw.
#[derive(Debug)]
pub struct StreamMessage<'a> {
    /// The name it was wrapped with.
    pub stream: Option<Cow<'a, str>>,
    /// Native symbol.
    pub symbol: Cow<'a, str>,
    pub kind: StreamKind<'a>,
    /// The message without its wrapper.
    pub payload: &'a str,
}

#[derive(Debug)]
pub enum StreamKind<'a> {
    /// Update ids `first..=last`; price and size texts.
    Depth {
        first: u64,
        last: u64,
        bids: Vec<[&'a str; 2]>,
        asks: Vec<[&'a str; 2]>,
    },
    Trade {
        price: &'a str,
        size: &'a str,
    },
    AggregatedTrade {
        price: &'a str,
        size: &'a str,
    },
    BookTicker {
        bid: [&'a str; 2],
        ask: [&'a str; 2],
    },
    /// A stream that Tickwire does not take (klines and the like).
    Other,
}

/// A REST depth snapshot.
#[derive(Debug, Deserialize)]
pub struct Snapshot<'a> {
    #[serde(rename = "lastUpdateId")]
    pub last_update_id: u64,
    #[serde(borrow)]
    pub bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    pub asks: Vec<[&'a str; 2]>,
}

#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The union of the payloads' fields; `b` and `a` are a text in one and a list in another.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    s: Option<Cow<'a, str>>,
    #[serde(rename = "U")]
    first: Option<u64>,
    #[serde(rename = "u")]
    last: Option<u64>,
    #[serde(borrow)]
    b: Option<&'a RawValue>,
    #[serde(borrow)]
    a: Option<&'a RawValue>,
    #[serde(borrow, rename = "B")]
    bid_size: Option<&'a RawValue>,
    #[serde(borrow, rename = "A")]
    ask_size: Option<&'a RawValue>,
    #[serde(borrow)]
    p: Option<&'a RawValue>,
    #[serde(borrow)]
    q: Option<&'a RawValue>,
}

impl<'a> StreamMessage<'a> {
    /// `None` for anything that is not market data of one symbol: acks, errors, notices.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (stream, payload) = match serde_json::from_slice::<Wrapper<'_>>(bytes) {
            Ok(wrapper) => (Some(wrapper.stream), wrapper.data.get()),
            Err(_) => (None, std::str::from_utf8(bytes).ok()?),
        };
        let fields: Fields<'_> = serde_json::from_str(payload).ok()?;
        let kind = fields.kind()?;
        Some(Self { stream, symbol: fields.s?, kind, payload })
    }

    /// The stream it belongs to, as a subscriber names it.
    pub fn stream_name(&self) -> Option<String> {
        if let Some(name) = &self.stream {
            return Some(name.to_string());
        }
        let suffix = match self.kind {
            StreamKind::Depth { .. } => "depth@100ms",
            StreamKind::Trade { .. } => "trade",
            StreamKind::AggregatedTrade { .. } => "aggTrade",
            StreamKind::BookTicker { .. } => "bookTicker",
            StreamKind::Other => return None,
        };
        Some(format!("{}@{suffix}", self.symbol.to_lowercase()))
    }
}

impl<'a> Fields<'a> {
    fn kind(&self) -> Option<StreamKind<'a>> {
        Some(match self.e.as_deref() {
            Some("depthUpdate") => {
                StreamKind::Depth { first: self.first?, last: self.last?, bids: levels(self.b?)?, asks: levels(self.a?)? }
            }
            Some("trade") => StreamKind::Trade { price: text(self.p?)?, size: text(self.q?)? },
            Some("aggTrade") => StreamKind::AggregatedTrade { price: text(self.p?)?, size: text(self.q?)? },
            Some(_) => StreamKind::Other,
            // Spot's bookTicker has no event type.
            None => StreamKind::BookTicker {
                bid: [text(self.b?)?, text(self.bid_size?)?],
                ask: [text(self.a?)?, text(self.ask_size?)?],
            },
        })
    }
}

fn text(raw: &RawValue) -> Option<&str> {
    serde_json::from_str(raw.get()).ok()
}

fn levels(raw: &RawValue) -> Option<Vec<[&str; 2]>> {
    serde_json::from_str(raw.get()).ok()
}

/// What stands in an address that decides which answer is the right one: the last part of the path and the parameters, but not
/// how much was asked for.
pub fn address_key(url: &str) -> String {
    const IGNORED: [&str; 6] = ["limit", "symbols", "permissions", "showPermissionSets", "symbolStatus", "timeUnit"];
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut parameters: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !IGNORED.contains(&pair.split('=').next().unwrap_or_default()))
        .collect();
    let endpoint = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if endpoint == "exchangeInfo" {
        // One symbol's entry stands in everybody's list as well.
        return endpoint.to_owned();
    }
    parameters.sort_unstable();
    format!("{endpoint}?{}", parameters.join("&"))
}

/// Assets that others are priced in, longest first where one ends in another.
const QUOTE_ASSETS: [&str; 36] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDS", "USD4", "BIDR", "BVND", "IDRT", "AEUR", "EURI", "DOGE", "BKRW",
    "PAX", "USD", "DAI", "UST", "EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON", "ARS", "MXN",
    "BTC", "ETH", "BNB",
];

/// `BTCUSDT` to `BTC`, `USDT`. A guess by the usual quote assets: only an exchangeInfo can know, and none was recorded.
pub fn split_symbol(native: &str) -> (&str, &str) {
    QUOTE_ASSETS
        .iter()
        .filter_map(|quote| native.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))
        .max_by_key(|(_, quote)| quote.len())
        .or_else(|| native.split_at_checked(native.len().saturating_sub(3)))
        .unwrap_or((native, ""))
}

/// The venue's yes to a request that was sent; `None` for what is no request.
pub fn acknowledgement(request: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow, rename = "method")]
        _method: Cow<'a, str>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let request: Request<'_> = serde_json::from_str(request).ok()?;
    Some(format!(r#"{{"result":null,"id":{}}}"#, request.id.map_or("null", RawValue::get)))
}

/// An answer to a request, not market data. (They are short; nothing is parsed for the rest.)
pub fn is_answer(message: &[u8]) -> bool {
    message.len() < 1024
        && memchr::memmem::find(message, b"\"stream\"").is_none()
        && [&b"\"result\""[..], b"\"code\"", b"\"error\""].iter().any(|key| memchr::memmem::find(message, key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_messages_apart() {
        let depth = br#"{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":7,"u":9,"b":[["1.50","0"]],"a":[]}}"#;
        let message = StreamMessage::parse(depth).unwrap();
        assert_eq!((message.symbol.as_ref(), message.stream_name().as_deref()), ("BTCUSDT", Some("btcusdt@depth@100ms")));
        assert!(
            matches!(&message.kind, StreamKind::Depth { first: 7, last: 9, bids, asks } if bids[..] == [["1.50", "0"]] && asks.is_empty())
        );
        let ticker = br#"{"u":4,"s":"BNBUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}"#;
        let message = StreamMessage::parse(ticker).unwrap();
        assert_eq!(message.stream_name().as_deref(), Some("bnbusdt@bookTicker"));
        assert!(matches!(message.kind, StreamKind::BookTicker { bid: ["25.3", "31.2"], ask: ["25.4", "40.6"] }));
        for other in [&br#"{"result":null,"id":1}"#[..], br#"{"code":2,"msg":"x"}"#, b"[]", b"", b"\xff"] {
            assert!(StreamMessage::parse(other).is_none());
        }
    }

    #[test]
    fn addresses_match_whatever_the_limit() {
        let asked = address_key("http://127.0.0.1:9/api/v3/depth?limit=5000&symbol=BTCUSDT");
        assert_eq!(asked, address_key("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"));
        assert_eq!(asked, address_key("/api/v3/depth?symbol=BTCUSDT"));
        assert_ne!(asked, address_key("/api/v3/depth?symbol=BTCUSDC"));
        assert_eq!(address_key("https://x/api/v3/exchangeInfo"), address_key("https://y/api/v3/exchangeInfo?symbols=[%22A%22]"));
    }

    #[test]
    fn splits_by_the_usual_quote_assets() {
        for (native, pair) in [
            ("BTCUSDT", ("BTC", "USDT")),
            ("BTCUSD", ("BTC", "USD")),
            ("ETHBTC", ("ETH", "BTC")),
            ("BTCFDUSD", ("BTC", "FDUSD")),
            ("USDTTRY", ("USDT", "TRY")),
            ("ABCXYZ", ("ABC", "XYZ")),
        ] {
            assert_eq!(split_symbol(native), pair);
        }
    }
}
