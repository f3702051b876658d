//! In: clients the gate let in. Out: sessions on this shard. The only place where the gate and what lies behind it meet.
//! Bounded by the sessions.

use super::serve::{Sessions, Socket};
use super::transport::Transport;
use crate::session::sse::{self, SseBody};
use crate::session::{Client, websocket};
use crate::shard::Shard;
use std::rc::Rc;
use tokio::sync::Notify;

impl Sessions for Shard {
    type Events = SseBody;

    fn stream<T: Transport>(self: Rc<Self>, socket: Socket<T>, client: Client) -> impl Future<Output = ()> {
        websocket::run(socket, client, self)
    }

    fn events(self: Rc<Self>, client: Client, cut: Rc<Notify>) -> SseBody {
        sse::body(client, self, cut)
    }
}
