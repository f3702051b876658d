//! Binance's answers to requests and addresses, word for word.

use super::*;
use crate::venue::binance::{SPOT_MARKET, USD_M_MARKET};

const SPOT: Words = Words { market: &SPOT_MARKET };

fn names(session: &Session) -> Vec<String> {
    session.wishes.iter().map(|wish| name(&wish.stream, &wish.native)).collect()
}

#[test]
fn reads_addresses() {
    let combined = SPOT.address("/stream", "streams=a@trade/b@depth@100ms").unwrap();
    assert!(combined.wrapped);
    assert_eq!(names(&combined), ["a@trade", "b@depth@100ms"]);
    let raw = SPOT.address("/ws/a@trade", "").unwrap();
    assert!(!raw.wrapped);
    assert_eq!(names(&raw), ["a@trade"]);
    assert!(SPOT.address("/ws", "").unwrap().wishes.is_empty() && SPOT.address("/stream", "").unwrap().wrapped);
    assert!(SPOT.address("/api", "").is_none() && SPOT.address("/public/ws", "").is_none());
    let futures = Words { market: &USD_M_MARKET };
    let endpoint = |path: &str| futures.address(path, "").map(|session| session.endpoint);
    let found = ["/public/ws", "/market/ws", "/ws", "/market/stream", "/private/ws"].map(endpoint);
    assert_eq!(found, [Some(0), Some(1), Some(0), Some(1), None]);
}

#[test]
fn answers_like_the_venue() {
    let mut session = Session::default();
    for (request, answer) in [
        (r#"{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}"#, r#"{"result":null,"id":1}"#),
        (r#"{"method":"UNSUBSCRIBE","params":["a@trade"],"id":"x1"}"#, r#"{"result":null,"id":"x1"}"#),
        (r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#, r#"{"result":["b@trade"],"id":3}"#),
        (r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#, r#"{"result":false,"id":4}"#),
        (r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#, r#"{"result":null,"id":5}"#),
        (
            r#"{"method":"SET_PROPERTY","params":["combined",1],"id":6}"#,
            r#"{"code":1,"msg":"Invalid value type: expected Boolean","id":6}"#,
        ),
        (r#"{"method":"SET_PROPERTY","params":["x",true],"id":7}"#, r#"{"code":0,"msg":"Unknown property","id":7}"#),
        (r#"{"params":[],"id":8}"#, r#"{"code":2,"msg":"Invalid request: missing field `method`","id":8}"#),
        (
            r#"{"method":"SUBSCRIBE","params":[1],"id":9}"#,
            r#"{"code":2,"msg":"Invalid request: params must be a list of stream names","id":9}"#,
        ),
    ] {
        assert_eq!(SPOT.answer(&mut session, request).unwrap(), answer, "{request}");
    }
    assert!(session.wrapped);
}
