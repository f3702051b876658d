//! From a frame to ciphertext. In: frames of one update, of some, and of a whole record. Out: the cost of writing one through a session's
//! TLS connection, with AES-256-GCM as most clients take it, into a transport that takes everything: no system call. Bounded: one frame.

use crate::memory::{ClientEnd, ServerEnd, connection};
use client::{Trust, tls_config};
use criterion::{BenchmarkId, Criterion, Throughput};
use rustls::pki_types::ServerName;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tickwire::config::Config;
use tickwire::gate::{Gate, TlsSocket};
use tickwire::pressure::Pressure;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsConnector;

/// A frame of one quote, one of 32, one record.
pub const SIZES: [usize; 3] = [74, 1_400, 16 << 10];

pub fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls_write");
    for size in SIZES {
        let mut writer = Writer::new(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter(|| writer.write()));
    }
    group.finish();
}

/// A connection whose client is gone after the handshake.
pub struct Writer {
    socket: TlsSocket<ServerEnd>,
    frame: Vec<u8>,
}

impl Writer {
    pub fn new(size: usize) -> Self {
        let mut config = Config::default();
        config.listen.self_signed = true;
        let pressure = Pressure::new(&config.pressure);
        let gate = Gate::new(&config, Arc::default(), Arc::new(|| Ok(())), pressure).expect("the configuration is good");
        let (server, client) = connection();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (socket, _) = runtime.block_on(async {
            tokio::join!(
                async { TlsSocket::accept(server, gate.tls_config()).await.expect("a good client") },
                shake_hands(client)
            )
        });
        Self { socket, frame: (0..size).map(|at| at as u8).collect() }
    }

    pub fn write(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut self.socket).poll_write(&mut context, &self.frame);
        assert!(matches!(written, Poll::Ready(Ok(count)) if count == self.frame.len()));
        assert!(matches!(Pin::new(&mut self.socket).poll_flush(&mut context), Poll::Ready(Ok(()))));
    }
}

async fn shake_hands(client: ClientEnd) {
    let connector = TlsConnector::from(tls_config(&Trust::AnyCertificate).expect("nothing to read"));
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, client).await.expect("a good server");
}
