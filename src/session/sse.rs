//! A session over server-sent events. In: subscriptions of the query string. Out: an HTTP body of events, in JSON.
//! Bounded: one event waits in the body; the next is only made when the connection has taken it.

use crate::encode::FrameBuilder;
use crate::session::{Client, SessionCore};
use crate::shard::Shard;
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use wire::code::Close;
use wire::request::Reply;

/// A comment line in quiet times keeps proxies from closing the response.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The response body; dropping it ends the session.
pub struct SseBody {
    events: mpsc::Receiver<Bytes>,
}

impl hyper::body::Body for SseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.events.poll_recv(cx).map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Starts a session whose frames are the events of the returned body.
pub fn body(client: Client, shard: Rc<Shard>) -> SseBody {
    let (sender, events) = mpsc::channel(1);
    tokio::task::spawn_local(run(client, shard, sender));
    SseBody { events }
}

async fn run(client: Client, shard: Rc<Shard>, sender: mpsc::Sender<Bytes>) {
    let encoding = client.encoding;
    let mut core = SessionCore::open(client, &shard);
    let metrics = &shard.context.metrics;
    let mut draining = shard.context.draining.clone();
    if sender.send(control(&core.greet())).await.is_err() {
        return metrics.closed_by_client.add(1);
    }
    let mut frame = FrameBuilder::new(Vec::new(), encoding, shard.context.session.frame_bytes);
    loop {
        // First a place in the body, then the frame: what it holds is as new as the moment it leaves.
        let Ok(place) = sender.reserve().await else { return metrics.closed_by_client.add(1) };
        if *draining.borrow() {
            place.send(control(&Reply::Notice {
                code: "draining".to_owned(),
                message: "this server is shutting down; reconnect after the given time".to_owned(),
                reconnect_in_ms: Some(core.reconnect_slot_ms()),
            }));
            return metrics.closed(Close::Draining);
        }
        if core.is_working() {
            if let Some(reply) = core.work() {
                place.send(control(&reply));
            }
            tokio::task::yield_now().await;
            continue;
        }
        if core.fill(&mut frame) {
            let event = event("data", frame.payload());
            let size = event.len();
            place.send(event);
            core.wrote(&frame, size);
            continue;
        }
        if core.is_ready() {
            // Much was due and none of it held anything: others get a turn first.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = core.ready() => {}
            () = core.listed() => core.on_listing(),
            () = tokio::time::sleep(KEEP_ALIVE) => place.send(Bytes::from_static(b": keep-alive\n\n")),
            () = sender.closed() => return metrics.closed_by_client.add(1),
            _ = draining.changed() => {}
        }
    }
}

fn control(reply: &Reply) -> Bytes {
    event("control", &serde_json::to_vec(reply).expect("replies are plain data"))
}

/// JSON spells no line breaks, so one `data:` line always does.
fn event(name: &str, json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + name.len() + 24);
    if name != "data" {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}
