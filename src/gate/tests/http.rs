//! Everything that is plain HTTP: health, readiness, event streams, the page, and what is not there.

use super::*;

#[test]
fn health_and_readiness() {
    run(config(), async |server| {
        assert_answer(&server.get("/healthz", "").await, 200, "ok");
        assert_answer(&server.get("/readyz", "").await, 200, "ready");
        *server.state.lock() = Err("waiting for the instruments of: sim".to_owned());
        assert_answer(&server.get("/readyz", "").await, 503, "waiting for the instruments of: sim");
        *server.state.lock() = Ok(());
        let mut open = server.tls().await;
        server.gate.drain();
        open.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut open).await;
        // An idle connection is closed by a drain; one whose request was on the way is answered.
        assert!(answer.is_empty() || answer.contains("503") && answer.contains("draining"), "{answer}");
        assert!(tokio::net::TcpStream::connect(server.address).await.is_err() || server.tcp().await.read_u8().await.is_err());
    });
}

#[test]
fn event_streams() {
    run(config(), async |server| {
        let answer = server.get("/v1/sse?sub=quote/sim:A&pace=100ms", "").await;
        assert_answer(&answer, 200, "content-type: text/event-stream");
        assert!(
            answer.contains("cache-control: no-store") && answer.contains("data: tickwire.v1.json bare=quote/sim:A 100ms"),
            "{answer}"
        );
        assert!(!answer.contains("access-control"), "{answer}");
        let answer = server.get("/v1/sse?sub=quote/sim:A", "Origin: https://friend.example\r\n").await;
        assert_answer(&answer, 200, "access-control-allow-origin: https://friend.example");
        assert_answer(&server.get("/v1/sse", "").await, 400, "/v1/sse?sub=TOPIC");
        assert_answer(&server.get("/v1/sse?sub=quote/sim:A", "Origin: https://evil.example\r\n").await, 403, "not allowed");
    });
}

#[test]
fn the_page_and_what_is_not_there() {
    run(config(), async |server| {
        let page = server.get("/", "").await;
        assert_answer(&page, 200, "content-security-policy: default-src 'none'; script-src 'self'");
        assert!(page.contains("x-content-type-options: nosniff") && page.contains("frame-ancestors 'none'"), "{page}");
        assert_answer(&server.get("/app.js", "").await, 200, "content-type: text/javascript");
        assert_answer(&server.get("/view.js?x=1", "").await, 200, "content-type: text/javascript");
        assert_answer(&server.get("/style.css", "").await, 200, "content-type: text/css");
        for path in ["/nothing", "//", "/../Cargo.toml", "/v1/", "/v1/stream/"] {
            assert_answer(&server.get(path, "").await, 404, "known: / /v1/stream /v1/sse");
        }
        assert_answer(&server.talk("PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n").await, 405, "allow: GET");
        assert_answer(&server.talk("GET / HTTP/1.1\r\n\r\n").await, 400, "Host header is missing");
    });
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    run(config(), async |server| {
        let mut stream = server.tls().await;
        for _ in 0..3 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            assert_answer(&read_answer(&mut stream).await, 200, "ok");
        }
        assert_eq!(server.metrics.handshakes.get(), 1);
    });
}

#[test]
fn an_oversized_head_is_refused() {
    run(config(), async |server| {
        let answer = server.get("/", &format!("X-Big: {}\r\n", "x".repeat(40_000))).await;
        assert!(status(&answer) == "431" || status(&answer) == "closed", "{answer}");
        let answer = server.get("/healthz", &"X-Many: 1\r\n".repeat(200)).await;
        assert!(status(&answer) == "431" || status(&answer) == "closed", "{answer}");
        assert_answer(&server.talk("NOT HTTP AT ALL\r\n\r\n").await, 400, "");
    });
}
