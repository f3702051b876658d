//! Connections that do not hold: what the client asks for on the next one, and when.

use super::*;
use client::wire::record::QuoteChange;

#[tokio::test]
async fn one_that_does_not_resume_begins_anew_and_backs_off_while_connections_do_not_hold() {
    let server = Server::start().await;
    let reconnect = Reconnect { first: Duration::from_millis(10), longest: Duration::from_secs(10) };
    let options = Options { resumes: false, reconnect: Some(reconnect), ..server.options(Encoding::Binary) };
    let mut client = Client::new(&options).unwrap();
    client.subscribe(Subscription { since: Some(Since(7)), ..Subscription::new(["quote/sim:A"]) });
    let script = async {
        for id in 0..6 {
            let mut peer = server.accept().await;
            let Sub { topics, resume, since, .. } = peer.sub().await;
            assert!(resume.is_empty() && since == Some(Since(7)), "{resume:?} {since:?}");
            peer.ack(None, live(&topics[0], id, None)).await;
            let meta = meta(id, Kind::Quote);
            let quote = RecordBody::Quote(QuoteChange::default());
            let told = Record { body: RecordBody::Meta(&meta), ..record(&meta, DELTA, 0, RecordBody::Tape) };
            peer.frame(&meta, &[told, record(&meta, Flags::SNAPSHOT, 10, quote)]).await;
        }
    };
    let seen = async {
        let mut pauses = Vec::new();
        until(&mut client, |_, step| {
            if let Step::Disconnected { retry_in, .. } = step {
                pauses.push(*retry_in);
            }
            pauses.len() == 6
        })
        .await;
        assert_eq!(client.stats().snapshots, 6);
        assert!(pauses[0] <= reconnect.first && pauses[5] >= reconnect.first * 16, "{pauses:?}");
    };
    tokio::join!(script, seen);
}
