//! A session over server-sent events. In: subscriptions of the query string. Out: an HTTP body of events, in JSON.
//! Bounded: one event waits in the body; the next is only made when the connection has taken it, under the write timeout.

use crate::session::{Client, SessionCore, draining_notice};
use crate::shard::Shard;
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
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

/// Starts a session whose frames are the events of the returned body. `cut` is notified when the connection must be dropped
/// because its peer takes nothing: the body cannot end it, nobody asks the body for more.
pub fn body(client: Client, shard: Rc<Shard>, cut: Rc<Notify>) -> SseBody {
    let (sender, events) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let mut core = SessionCore::open(client, &shard);
        let end = serve(&mut core, &sender).await.unwrap_or_else(|end| end);
        let metrics = &shard.context.metrics;
        match end {
            End::Left => metrics.closed_by_client.add(1),
            End::Close(close) => metrics.closed(close),
            End::Stuck(close) => {
                metrics.closed(close);
                cut.notify_one();
            }
        }
    });
    SseBody { events }
}

/// Why a session ended.
enum End {
    /// The connection is gone.
    Left,
    Close(Close),
    /// As `Close`, but the peer takes nothing any more.
    Stuck(Close),
}

async fn serve(core: &mut SessionCore, sender: &mpsc::Sender<Bytes>) -> Result<End, End> {
    let shard = core.shard().clone();
    let mut draining = shard.context.draining.clone();
    let hello = core.greet();
    place(core, sender).await?.send(control(&hello));
    loop {
        // First a place in the body, then the frame: what it holds is as new as the moment it leaves.
        let place = place(core, sender).await?;
        if *draining.borrow() {
            place.send(control(&draining_notice(core.reconnect_slot_ms(), None)));
            return Ok(End::Close(Close::Draining));
        }
        if core.expires_in().is_some_and(|left| left.is_zero()) {
            place.send(control(&expired_notice()));
            return Ok(End::Close(Close::TokenExpired));
        }
        if !core.is_working() && core.has_listings() {
            core.on_listing();
        }
        if core.is_working() {
            if let Some(reply) = core.work() {
                place.send(control(&reply));
            }
            tokio::task::yield_now().await;
            continue;
        }
        if let Some(news) = core.news() {
            place.send(control(&news));
            continue;
        }
        let mut frame = shard.take_frame(core.client().encoding);
        let event = core.fill(&mut frame).then(|| event("data", frame.payload()));
        if let Some(event) = event {
            let size = event.len();
            place.send(event);
            core.wrote(&frame, size);
            shard.give_frame(frame);
            continue;
        }
        shard.give_frame(frame);
        if core.is_ready() {
            // Much was due and none of it held anything: others get a turn first.
            tokio::task::yield_now().await;
            continue;
        }
        let quiet = core.expires_in().map_or(KEEP_ALIVE, |left| left.min(KEEP_ALIVE));
        tokio::select! {
            () = core.ready() => {}
            () = core.listed() => {}
            () = core.ages() => {}
            () = tokio::time::sleep(quiet) => place.send(Bytes::from_static(b": keep-alive\n\n")),
            () = sender.closed() => return Ok(End::Left),
            _ = draining.changed() => {}
        }
    }
}

/// A place for one event in the body. The connection has the write timeout to take the event before it.
async fn place<'a>(core: &SessionCore, sender: &'a mpsc::Sender<Bytes>) -> Result<mpsc::Permit<'a, Bytes>, End> {
    let limit = Duration::from_millis(core.shard().context.session.write_timeout_ms);
    let expiry = core.expires_in().filter(|left| *left < limit);
    match timeout(expiry.unwrap_or(limit), sender.reserve()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) => Err(End::Left),
        Err(_) if expiry.is_some() => Err(End::Stuck(Close::TokenExpired)),
        Err(_) => Err(End::Stuck(Close::SlowConsumer)),
    }
}

fn expired_notice() -> Reply {
    let row = Close::TokenExpired.row();
    Reply::Notice { code: row.name.to_owned(), message: row.reason.to_owned(), reconnect_in_ms: None, ticket: None }
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
