//! `/v1/stream`: upgrades that must work and those that must get a clear no.

use super::*;

#[test]
fn both_subprotocols_and_none() {
    run(config(), async |server| {
        let (_socket, first) = server.stream("", Some("tickwire.v1.bin")).await;
        assert_eq!(first, "tickwire.v1.bin bare= subject=");
        let (_socket, first) = server.stream("?sub=quote/sim:A,quote/sim:B&pace=1s", Some("tickwire.v1.json")).await;
        assert_eq!(first, "tickwire.v1.json bare=quote/sim:A+quote/sim:B 1s subject=");
        let (mut socket, first) = server.stream("", None).await;
        assert_eq!(first, "tickwire.v1.json bare= subject=");
        socket.send(Message::text("echo")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("echo"));
        assert_eq!(server.gate.connections(), 3);
    });
}

#[test]
fn the_first_known_subprotocol_wins() {
    run(config(), async |server| {
        let answer = server
            .upgrade("", "Sec-WebSocket-Protocol: mqtt, tickwire.v1.json\r\nSec-WebSocket-Protocol: tickwire.v1.bin\r\n")
            .await;
        assert_answer(&answer, 101, "sec-websocket-protocol: tickwire.v1.json");
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the example of RFC 6455: {answer}");
        assert!(!answer.to_lowercase().contains("extensions"), "{answer}");
        let answer = server.upgrade("", "Sec-WebSocket-Protocol: mqtt\r\n").await;
        assert_answer(&answer, 400, "known: tickwire.v1.bin, tickwire.v1.json");
    });
}

#[test]
fn bad_upgrades_are_told_what_is_wrong() {
    run(config(), async |server| {
        let get = "GET /v1/stream HTTP/1.1\r\n";
        for (request, expected, part) in [
            (format!("{get}Host: h\r\n\r\n"), 426, "upgrade: websocket"),
            (format!("{get}Host: h\r\nConnection: close\r\nUpgrade: websocket\r\n\r\n"), 426, "Connection: Upgrade"),
            (format!("{get}Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), 426, "WebSocket address"),
            (format!("{get}{}{KEY}\r\n", UPGRADE.replace("13", "12")), 426, "sec-websocket-version: 13"),
            (format!("{get}{UPGRADE}\r\n"), 400, "Sec-WebSocket-Key"),
            (format!("{get}{UPGRADE}Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n"), 400, "Sec-WebSocket-Key"),
            (format!("{get}{UPGRADE}{KEY}{KEY}\r\n"), 400, "'sec-websocket-key' must be given once"),
            (format!("{get}{UPGRADE}{KEY}Host: other\r\n\r\n"), 400, "'host' must be given once"),
            (format!("{get}{}{KEY}\r\n", UPGRADE.replace("Host: localhost\r\n", "")), 400, "Host header is missing"),
            (format!("{get}{UPGRADE}{KEY}Content-Length: 5\r\n\r\nhello"), 400, "no body"),
            (format!("{get}{UPGRADE}{KEY}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "no body"),
            (format!("POST /v1/stream HTTP/1.1\r\n{UPGRADE}{KEY}\r\n"), 405, "allow: GET"),
            (format!("GET /v1/stream HTTP/1.0\r\n{UPGRADE}{KEY}\r\n"), 400, "HTTP/1.1"),
        ] {
            let answer = server.talk(&request).await;
            assert_answer(&answer, expected, part);
        }
        for (query, part) in [("?speed=1", "unknown query key 'speed'"), ("?sub=quote/sim:A&pace=soon", "pace 'soon'")] {
            assert_answer(&server.upgrade(query, "").await, 400, part);
        }
    });
}

#[test]
fn foreign_web_pages_are_refused_before_the_upgrade() {
    run(config(), async |server| {
        for (origin, expected) in [
            ("https://localhost", 101),
            ("https://friend.example", 101),
            ("https://evil.example", 403),
            ("http://friend.example", 403),
            ("https://friend.example.evil.example", 403),
            ("null", 403),
        ] {
            let answer = server.upgrade("", &format!("Origin: {origin}\r\n")).await;
            assert_answer(&answer, expected, if expected == 403 { "is not allowed" } else { "" });
        }
    });
}

#[test]
fn a_frame_sent_with_the_request_is_not_lost() {
    run(config(), async |server| {
        let mut stream = server.tls().await;
        let mut bytes = format!("GET /v1/stream HTTP/1.1\r\n{UPGRADE}{KEY}\r\n").into_bytes();
        // A masked text frame with a mask of zeros.
        bytes.extend([0x81, 0x80 | 5, 0, 0, 0, 0]);
        bytes.extend(b"early");
        stream.write_all(&bytes).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\x81\x05early") {
            let mut chunk = [0; 1024];
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&chunk[..count]);
        }
        assert!(seen.starts_with(b"HTTP/1.1 101"));
    });
}

#[test]
fn messages_are_bounded() {
    run(config(), async |server| {
        let (mut socket, _) = server.stream("", None).await;
        let _ = socket.send(Message::text("x".repeat(20_000))).await;
        let next = socket.next().await;
        assert!(!matches!(next, Some(Ok(Message::Text(_)))), "{next:?}");
    });
}
