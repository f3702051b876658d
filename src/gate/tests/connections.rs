//! Below HTTP: time, places, files and peers that do not speak TLS.

use super::*;
use crate::metrics::{HandshakeFailure, Refusal};
use crate::pressure::Level;
use std::time::Instant;

fn impatient() -> Config {
    let mut config = config();
    config.listen.handshake_timeout_ms = 300;
    config
}

/// Waits for the server to close and says how long that took.
async fn wait_for_close(stream: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    began.elapsed()
}

#[test]
fn who_says_nothing_is_closed() {
    run(impatient(), async |server| {
        let took = wait_for_close(&mut server.tcp().await).await;
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
        let took = wait_for_close(&mut server.tls().await).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(server.metrics.failures(HandshakeFailure::Timeout), 2);
    });
}

#[test]
fn dribbling_buys_no_time() {
    run(impatient(), async |server| {
        let mut hello = server.tcp().await;
        let mut head = server.tls().await;
        let began = Instant::now();
        let slow_hello = async {
            // The beginning of a TLS record that never ends.
            for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(5) {
                if hello.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let slow_head = async {
            for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: yes, very much so, and it goes on and on and on" {
                if head.write_all(&[*byte]).await.is_err() || head.flush().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::join!(slow_hello, slow_head);
        assert!(began.elapsed() < Duration::from_secs(3), "cut after {:?}", began.elapsed());
        assert_eq!(server.gate.connections(), 0);
    });
}

#[test]
fn plain_http_gets_a_sentence_and_junk_an_alert() {
    run(config(), async |server| {
        let mut stream = server.tcp().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_answer(&read_answer(&mut stream).await, 400, "https:// or wss://");
        let mut stream = server.tcp().await;
        stream.write_all(b"\x00\x01\x02\x03junkjunkjunk").await.unwrap();
        let took = wait_for_close(&mut stream).await;
        assert!(took < Duration::from_secs(3));
        assert_eq!(server.metrics.failures(HandshakeFailure::PlainHttp), 1);
        assert_eq!(server.metrics.failures(HandshakeFailure::Tls), 1);
    });
}

#[test]
fn one_connection_too_many_is_told_so() {
    let mut config = config();
    config.listen.max_connections = 2;
    run(config, async |server| {
        let (one, _) = server.stream("", None).await;
        let (_two, _) = server.stream("", None).await;
        assert_answer(&server.get("/healthz", "").await, 503, "retry-after: 5");
        assert_eq!(server.metrics.refusals(Refusal::TooManyConnections), 1);
        drop(one);
        while server.gate.connections() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_answer(&server.get("/healthz", "").await, 200, "ok");
    });
}

#[test]
fn one_address_cannot_take_all_places() {
    let mut config = config();
    config.listen.max_connections_per_address = 1;
    run(config, async |server| {
        let (_one, _) = server.stream("", None).await;
        assert_answer(&server.upgrade("", "").await, 503, "no room");
        assert_eq!(server.metrics.refusals(Refusal::TooManyFromAddress), 1);
    });
}

#[test]
fn under_pressure_new_clients_wait_and_others_stay() {
    let mut config = config();
    config.pressure.retry_after_s = 7;
    run(config, async |server| {
        let (mut running, _) = server.stream("", None).await;
        server.pressure.set(Level::DeferDeep);
        assert_answer(&server.upgrade("", "").await, 101, "");
        server.pressure.set(Level::Refuse);
        for answer in [server.upgrade("", "").await, server.get("/v1/sse?sub=quote/sim:A", "").await] {
            assert_answer(&answer, 503, "retry-after: 7");
            assert!(answer.contains("under pressure") && answer.contains("try again in 7 s"), "{answer}");
        }
        assert_eq!(server.metrics.refusals(Refusal::Pressure), 2);
        assert_answer(&server.get("/healthz", "").await, 200, "ok");
        assert_answer(&server.get("/", "").await, 200, "html");
        running.send(Message::text("still here")).await.unwrap();
        assert_eq!(running.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "still here");
        server.pressure.set(Level::Normal);
        assert_answer(&server.upgrade("", "").await, 101, "");
    });
}

#[test]
fn the_port_is_named_when_it_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = bind(taken.local_addr().unwrap()).unwrap_err().to_string();
    assert!(text.contains("listen.address 127.0.0.1:") && text.contains("in use"), "{text}");
}

#[test]
fn arrivals_are_spread_and_a_full_shard_refuses() {
    run(config(), async |_| {
        let metrics = Arc::<GateMetrics>::default();
        let gate = Gate::new(&config(), metrics.clone(), Arc::new(|| Ok(())), Pressure::new(&config().pressure)).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (first, mut first_inbox) = mpsc::channel(2);
        let (second, mut second_inbox) = mpsc::channel(2);
        spawn_local(accept(listener, vec![first, second], gate.clone()));
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(clients[4].read_u8().await.map_err(|error| error.kind()).unwrap_err(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!((first_inbox.len(), second_inbox.len()), (2, 2));
        assert_eq!(metrics.refusals(Refusal::Busy), 1);
        assert_eq!(gate.connections(), 4);
        drop((first_inbox.recv().await, second_inbox.recv().await));
        assert_eq!(gate.connections(), 2);
    });
}
