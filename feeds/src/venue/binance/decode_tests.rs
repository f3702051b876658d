//! Small messages of our own in the venue's shape, and bytes that are in no shape at all.

use super::*;
use crate::json::Parser;
use proptest::prelude::*;

/// What a message says, in one line.
fn say(text: &str) -> String {
    let mut payload = text.as_bytes().to_vec();
    let said = Parser::default().parse(&mut payload, |root| match message(root) {
        Err(complaint) => complaint.to_owned(),
        Ok(Message::Quote(q)) => {
            let time = if q.time == 0 { String::new() } else { format!(" at {}", q.time) };
            format!("quote {} {} {}x{} {}x{}{time}", q.symbol, q.update_id, q.bid_price, q.bid_size, q.ask_price, q.ask_size)
        }
        Ok(Message::Trade(t)) => {
            format!(
                "trade {} {} {}x{} maker={} {} agg={}",
                t.symbol, t.id, t.price, t.size, t.buyer_is_maker, t.time, t.aggregated
            )
        }
        Ok(Message::Depth(d)) => {
            let side =
                |levels: Levels<'_, '_>| levels.map(|l| l.map_or("?".into(), |(p, s)| format!("{p}x{s}"))).collect::<Vec<_>>();
            let after = d.previous.map_or(String::new(), |previous| format!("{previous}<"));
            format!("depth {} {after}{}..{} {} {:?} {:?}", d.symbol, d.first, d.last, d.time, side(d.bids), side(d.asks))
        }
        Ok(Message::Ack { id }) => format!("ack {id:?}"),
        Ok(Message::Refused { id, code, reason }) => format!("refused {id:?} {code} {reason}"),
        Ok(Message::Shutdown) => "shutdown".to_owned(),
        Ok(Message::Other) => "other".to_owned(),
    });
    said.unwrap_or_else(|| "not JSON".to_owned())
}

#[test]
fn reads_every_message_bare_and_wrapped() {
    let quote = r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#;
    let said = "quote BNBUSDT 400900217 25.35190000x31.21000000 25.36520000x40.66000000";
    assert_eq!(say(quote), said);
    assert_eq!(say(&format!(r#"{{"stream":"bnbusdt@bookTicker","data":{quote}}}"#)), said);
    assert_eq!(say(&format!(r#"{{"data":{quote},"stream":"x"}}"#)), said);
    assert_eq!(
        say(
            r#"{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782135,"m":true,"M":true}"#
        ),
        "trade BNBBTC 12345 0.001x100 maker=true 1672515782135000000 agg=false"
    );
    assert_eq!(
        say(r#"{"e":"aggTrade","E":1,"s":"BNBBTC","a":7,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782135123,"m":false}"#),
        "trade BNBBTC 7 0.001x100 maker=false 1672515782135123000 agg=true"
    );
    assert_eq!(
        say(r#"{"e":"depthUpdate","E":2,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"],[1,2],[]]}"#),
        r#"depth BNBBTC 157..160 2000000 ["0.0024x10"] ["0.0026x100", "?", "?"]"#
    );
    // Futures say more: when it happened, and what was before.
    assert_eq!(
        say(r#"{"e":"bookTicker","u":9,"s":"X","b":"1","B":"2","a":"3","A":"4","T":5,"E":6}"#),
        "quote X 9 1x2 3x4 at 5000000"
    );
    assert_eq!(
        say(r#"{"e":"depthUpdate","E":3,"T":2,"s":"X","U":7,"u":9,"pu":4,"b":[],"a":[]}"#),
        "depth X 4<7..9 2000000 [] []"
    );
    assert_eq!(say(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#), "shutdown");
    assert_eq!(say(r#"{"e":"serverShutdown","E":1770123456789}"#), "shutdown");
}

#[test]
fn reads_answers() {
    assert_eq!(say(r#"{"result":null,"id":3}"#), "ack Some(3)");
    assert_eq!(say(r#"{"result":["a@trade"],"id":"x"}"#), "ack None");
    assert_eq!(say(r#"{"code":2,"msg":"Invalid request: x","id":9}"#), "refused Some(9) 2 Invalid request: x");
    assert_eq!(say(r#"{"code":3,"msg":"Invalid JSON"}"#), "refused None 3 Invalid JSON");
    assert_eq!(say(r#"{"error":{"code":-1003,"msg":"slow"},"id":null}"#), "refused None -1003 slow");
}

#[test]
fn says_what_is_wrong() {
    assert_eq!(say("[]"), "not an object");
    assert_eq!(say(r#"{"e":7}"#), "event type is not a text");
    assert_eq!(say(r#"{"e":"trade","s":"X","t":-1,"p":"1","q":"1","T":1,"m":true}"#), "trade lacks a field");
    assert_eq!(say(r#"{"e":"trade","s":"X","t":1,"p":1.5,"q":"1","T":1,"m":true}"#), "trade lacks a field");
    assert_eq!(say(r#"{"e":"trade","s":"X","t":1,"p":"1","q":"1","T":99999999999999999999,"m":true}"#), "not JSON");
    assert_eq!(say(r#"{"e":"depthUpdate","E":2,"s":"X","U":1,"u":2,"b":{},"a":[]}"#), "depthUpdate lacks a field");
    assert_eq!(say(r#"{"u":1,"s":"X","b":"1","B":"1","a":"1"}"#), "bookTicker lacks a field");
    assert_eq!(say(r#"{"e":"kline"}"#), "other");
    assert_eq!(say(r#"{"a":"#), "not JSON");
}

#[test]
fn snapshots_are_whole_or_refused() {
    let read = |text: &str| {
        Parser::default().parse(&mut text.as_bytes().to_vec(), |root| {
            snapshot(root).map(|s| (s.last_update_id, s.bids.count(), s.asks.count()))
        })
    };
    assert_eq!(read(r#"{"lastUpdateId":160,"bids":[["1","2"]],"asks":[["3","4"],["5","6"]]}"#), Some(Ok((160, 1, 2))));
    assert!(read(r#"{"code":-1121,"msg":"Invalid symbol."}"#).unwrap().is_err());
    assert!(read("<html>").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut payload = bytes;
        let _ = Parser::default().parse(&mut payload, |root| (message(root).is_ok(), snapshot(root).is_ok()));
    }
}
