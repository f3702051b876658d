//! A rival: tokio-tungstenite as it is mostly used, a task and a bounded channel for each client, one message an update. In: port, folder of
//! the certificate, updates a second, topics. Out: quotes of 48 bytes. Bounded: so many messages a client; one more is dropped.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

type Anything = Box<dyn Error + Send + Sync>;
type Topics = Arc<Vec<RwLock<Vec<Sender<Bytes>>>>>;

const CHANNEL: usize = 4_096;

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, folder, rate, count] = &arguments[..] else { return Err("give PORT FOLDER UPDATES_PER_SECOND TOPICS".into()) };
    let certificates = CertificateDer::pem_file_iter(format!("{folder}/certificate.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/key.pem"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let acceptor = TlsAcceptor::from(Arc::new(tls.with_no_client_auth().with_single_cert(certificates, key)?));
    let topics: Topics = Arc::new((0..count.parse::<u32>()?).map(|_| RwLock::default()).collect());
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    tokio::spawn(make(topics.clone(), rate.parse()?));
    println!("ready");
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, topics) = (acceptor.clone(), topics.clone());
        // A client that leaves in the middle is nothing to report.
        tokio::spawn(async move { serve(tcp, acceptor, topics).await.ok() });
    }
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, topics: Topics) -> Result<(), Anything> {
    let websocket = tokio_tungstenite::accept_async(acceptor.accept(tcp).await?).await?;
    let (mut out, mut incoming) = websocket.split();
    let (sender, mut updates): (_, Receiver<Bytes>) = channel(CHANNEL);
    if let Some(message) = incoming.next().await {
        let message = message?;
        let wanted: Vec<usize> = message.to_text()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
        out.send(Message::text("ok")).await?;
        for topic in wanted {
            let topic = topics.get(topic).ok_or("no such topic")?;
            topic.write().map_err(|_| "a lock was poisoned")?.push(sender.clone());
        }
    }
    drop(sender);
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Some(update) => out.send(Message::Binary(update)).await?,
                None => return Ok(()),
            },
            message = incoming.next() => match message {
                Some(message) => drop(message?),
                None => return Ok(()),
            },
        }
    }
}

/// The source: each topic in turn, as many as are due.
async fn make(topics: Topics, rate: u64) {
    let (begin, begin_ns) = (Instant::now(), wall_ns());
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut made = 0;
    loop {
        ticks.tick().await;
        let due = begin.elapsed().as_nanos() as u64 * rate / 1_000_000_000;
        while made < due {
            let at = made as usize % topics.len();
            let quote = quote(at as u32, made / topics.len() as u64 + 1, begin_ns + (made + 1) * 1_000_000_000 / rate);
            let mut is_left = false;
            if let Ok(clients) = topics[at].read() {
                for client in clients.iter() {
                    // Full: dropped, which the client sees by the sequence.
                    is_left |= client.try_send(quote.clone()).is_err() && client.is_closed();
                }
            }
            if is_left && let Ok(mut clients) = topics[at].write() {
                clients.retain(|client| !client.is_closed());
            }
            made += 1;
        }
    }
}

fn quote(topic: u32, sequence: u64, due_ns: u64) -> Bytes {
    let mut quote = Vec::with_capacity(48);
    quote.extend_from_slice(&topic.to_le_bytes());
    quote.extend_from_slice(&7_u32.to_le_bytes());
    quote.extend_from_slice(&sequence.to_le_bytes());
    quote.extend_from_slice(&due_ns.to_le_bytes());
    quote.extend_from_slice(&(1_000_000 + sequence).to_le_bytes());
    quote.extend_from_slice(&(1_000_001 + sequence).to_le_bytes());
    quote.extend_from_slice(&9_u32.to_le_bytes());
    quote.extend_from_slice(&[0; 4]);
    quote.into()
}

fn wall_ns() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}
