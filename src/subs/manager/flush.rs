//! One frame of a session. In: its due list and where each subscription stands. Out: chunks in the frame, cursors moved past them.
//! Bounded by the frame; what does not fit stays due.

use super::local::{LocalTopic, Locals};
use super::subscription::{NEVER, Queue, Subscription};
use super::table::FETCH_AHEAD;
use super::{Manager, SessionKey, next_check, stands};
use crate::encode::{Chunk, FrameBuilder, Request};
use crate::subs::pace::Grid;
use crate::topic::{Cursor, Topic, TopicMap};
use std::rc::Rc;
use wire::kind::{Argument, Depth};
use wire::request::{Encoding, Pace};

/// Due subscriptions looked at in one flush. Most find data and fill the frame long before; where none does, others get a turn.
const LOOKS_A_FLUSH: usize = 1024;

/// What one flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    pub chunk_hits: u64,
    pub chunk_misses: u64,
    /// Topics of subscriptions that ended by themselves.
    pub ended: Vec<u32>,
}

/// How far a subscription got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// The frame has no room for it.
    NoRoom,
    /// There is more than one chunk of it.
    More,
    All,
}

/// One flush under way.
struct Round<'a> {
    encoding: Encoding,
    now: i64,
    check_interval_ns: i64,
    frame: &'a mut FrameBuilder,
    /// The cursor of whoever holds nothing.
    beginning: &'a Rc<Cursor>,
    flushed: Flushed,
    /// The pace looked at last, and when its next window begins: a session has few.
    pace: (Option<Grid>, i64),
    /// Nothing slows the session.
    is_unslowed: bool,
    /// A granted frame is used for this one.
    is_paid: bool,
}

impl Manager {
    /// Puts what is due for the session into `frame`, until it is full; the rest stays due. Cursors move past what was put.
    pub fn flush(&mut self, map: &TopicMap, session: SessionKey, now: i64, frame: &mut FrameBuilder) -> Flushed {
        self.enter_windows(session, now);
        let (mut ended, mut paused) = (Vec::new(), Vec::new());
        let Some(member) = self.sessions.get_mut(session) else { return Flushed::default() };
        let (encoding, floor_ms) = (member.encoding, member.floor_ms(self.node_floor_ms));
        let mut round = Round {
            encoding,
            now,
            check_interval_ns: self.check_interval_ns,
            frame,
            beginning: &self.beginning,
            flushed: Flushed::default(),
            pace: (None, NEVER),
            is_unslowed: floor_ms == 0,
            is_paid: false,
        };
        for _ in 0..member.due_count().min(LOOKS_A_FLUSH) {
            let Some(focus) = member.turn(now) else { break };
            let Some(entry) = member.line(focus).pop() else { break };
            let handle = entry.0;
            self.subscriptions.fetch(member.line(focus).coming());
            let Some(subscription) = self.subscriptions.get_mut(handle).filter(|found| found.queue == Queue::Due) else {
                member.line(focus).forget_stale();
                continue;
            };
            let id = subscription.topic;
            let Some(topic) = map.get(id) else {
                subscription.queue = Queue::Idle;
                continue;
            };
            if subscription.is_on_credit() && member.credits == 0 {
                subscription.queue = Queue::Unpaid;
                member.unpaid.push(handle, now);
                continue;
            }
            if self.defers_deep && is_deep(topic) && !topic.reaches(&subscription.cursor) {
                subscription.queue = Queue::Deferred;
                member.deferred.push(handle, now);
                continue;
            }
            // The quote before its trade, if there is one. It may not even be marked: who publishes does not wait for us.
            if let Some(safe) = member.safe.get(&id).copied()
                && round.has_trades(topic, self.locals.get_mut(subscription.local), subscription, &mut self.spare)
                && let Some(quote) = self.subscriptions.get_mut(safe)
                && matches!(quote.queue, Queue::Idle | Queue::Waiting | Queue::Due)
                && (member.credits > 0 || !quote.is_on_credit())
            {
                match round.serve_first(map, quote, &mut self.locals, &mut self.spare) {
                    Served::NoRoom => {
                        member.line(focus).push_front(entry);
                        break;
                    }
                    Served::All if quote.queue == Queue::Due && !quote.once && !quote.pauses_after => {
                        // It has been told all there is. Its place in the line would let it out once more in the same window.
                        let focus = quote.terms.focus;
                        if let Some(local) = self.locals.get_mut(quote.local) {
                            quote.rest(safe, local);
                        }
                        let subscriptions = &self.subscriptions;
                        member.line(focus).note_stale(|(handle, _)| stands(subscriptions, handle, Queue::Due));
                    }
                    Served::All | Served::More => {}
                }
            }
            let Some(subscription) = self.subscriptions.get_mut(handle) else { continue };
            let Some(local) = self.locals.get_mut(subscription.local) else { continue };
            let before = round.frame.len();
            let served = round.serve(topic, local, subscription, &mut self.spare);
            member.charge(focus, round.frame.len() - before);
            match served {
                Served::NoRoom => {
                    member.line(focus).push_front(entry);
                    break;
                }
                Served::More => {
                    member.line(focus).push(handle, now);
                    continue;
                }
                Served::All => {}
            }
            // Who has been told something may well be told more in the next window: that one looks without a mark. (Of who goes by grants a
            // look without news would say that it waits for one.)
            let was_told = round.frame.len() > before && !subscription.is_on_credit();
            if subscription.once {
                ended.push(handle);
                round.flushed.ended.push(id);
            } else if std::mem::take(&mut subscription.pauses_after) {
                paused.push(handle);
            } else if was_told && let Some(next) = subscription.next_window(floor_ms, now) {
                subscription.wait(member, &mut self.wheel, handle, next);
                continue;
            }
            subscription.rest(handle, local);
        }
        if round.is_paid {
            member.credits = member.credits.saturating_sub(1);
        }
        let flushed = round.flushed;
        for handle in ended {
            self.unsubscribe(map, handle);
        }
        for handle in paused {
            self.pause(map, handle);
        }
        flushed
    }

    /// Makes due whoever waited for a window that has begun. Who is slower by now, or was sent something meanwhile, waits on.
    pub(super) fn enter_windows(&mut self, session: SessionKey, now: i64) {
        let Some(member) = self.sessions.get_mut(session) else { return };
        let floor_ms = member.floor_ms(self.node_floor_ms);
        while let Some((begin, waiting)) = member.take_window() {
            for (at, handle) in waiting.iter().enumerate() {
                self.subscriptions.fetch(waiting.get(at + FETCH_AHEAD).copied());
                // Whoever ended, or got another pace meanwhile, does not wait here any more.
                let Some(subscription) = self.subscriptions.get_mut(*handle) else { continue };
                if subscription.queue != Queue::Waiting || subscription.waits_for != begin {
                    continue;
                }
                match subscription.next_window(floor_ms, now) {
                    Some(next) => subscription.wait(member, &mut self.wheel, *handle, next),
                    None => _ = subscription.become_due(member, *handle, begin),
                }
            }
            member.give_back(waiting);
        }
    }
}

impl Round<'_> {
    /// Will this subscription of a trade topic now be told of a trade?
    fn has_trades(&self, topic: &Topic, local: Option<&mut LocalTopic>, trades: &Subscription, spare: &mut Chunk) -> bool {
        let Some(local) = local else { return false };
        let (chunk, _) = local.chunks.get(topic, self.request(trades), spare);
        let place = |cursor: &Cursor| (cursor.epoch(), cursor.seq());
        trades.promised || chunk.snapshots > 0 || place(&chunk.to) != place(&trades.cursor)
    }

    fn request<'s>(&self, subscription: &'s Subscription) -> Request<'s> {
        Request {
            cursor: &subscription.cursor,
            mode: subscription.terms.mode,
            encoding: self.encoding,
            base_second: self.frame.base_second(),
        }
    }

    /// A subscription that waits goes ahead of its turn. If it stays in its list, there may be nothing left of it to be told then, which is
    /// cheap.
    fn serve_first(&mut self, map: &TopicMap, subscription: &mut Subscription, locals: &mut Locals, spare: &mut Chunk) -> Served {
        match (map.get(subscription.topic), locals.get_mut(subscription.local)) {
            (Some(topic), Some(local)) => self.serve(topic, local, subscription, spare),
            _ => Served::All,
        }
    }

    /// Puts what a subscription lacks into the frame.
    fn serve(&mut self, topic: &Topic, local: &mut LocalTopic, subscription: &mut Subscription, spare: &mut Chunk) -> Served {
        // Read before the state: what is sent is at least as new.
        let received = topic.received();
        let (chunk, hit) = local.chunks.get(topic, self.request(subscription), spare);
        if hit {
            self.flushed.chunk_hits += 1;
        } else {
            self.flushed.chunk_misses += 1;
        }
        if !self.frame.fits(chunk.bytes.len()) {
            return Served::NoRoom;
        }
        let former = std::mem::replace(&mut subscription.cursor, chunk.to.clone());
        subscription.held_from = received;
        let is_news = chunk.records > 0;
        if is_news {
            self.put(chunk, subscription, self.is_unslowed && subscription.terms.pace == Pace::Realtime);
        }
        let (has_more, is_snapshot) = (chunk.more, chunk.snapshots > 0);
        spare.reuse(former);
        if has_more {
            return Served::More;
        }
        if subscription.promised && !is_snapshot {
            // A stream's events up to here were told one by one; now the snapshot, if nothing came in between.
            let request = Request { cursor: self.beginning, ..self.request(subscription) };
            let (whole, _) = local.chunks.get(topic, request, spare);
            let place = |cursor: &Cursor| (cursor.epoch(), cursor.seq());
            // Who came from another node may be ahead of this one; the snapshot was asked for all the same.
            let is_ahead = whole.to.epoch() == subscription.cursor.epoch() && whole.to.seq() < subscription.cursor.seq();
            if (place(&whole.to) != place(&subscription.cursor) && !is_ahead) || !self.frame.fits(whole.bytes.len()) {
                return Served::More;
            }
            subscription.cursor.clone_from(&whole.to);
            self.put(whole, subscription, false);
        }
        subscription.promised = false;
        if subscription.check_at != 0
            && self.now >= subscription.check_at
            && is_news
            && let Some(hash) = local.chunks.check(topic, &subscription.cursor)
        {
            self.frame.push_check(&topic.meta(), hash);
            subscription.check_at = next_check(self.check_interval_ns, subscription.topic, self.now);
        }
        Served::All
    }

    #[inline]
    fn put(&mut self, chunk: &Chunk, subscription: &mut Subscription, realtime: bool) {
        self.frame.push(chunk, realtime);
        subscription.count(chunk);
        if self.pace.0 != subscription.grid {
            self.pace = (subscription.grid, subscription.grid.map_or(NEVER, |grid| grid.next(self.now)));
        }
        subscription.note_sent(self.now, self.pace.1);
        self.is_paid |= subscription.is_on_credit();
    }
}

fn is_deep(topic: &Topic) -> bool {
    topic.key().argument == Some(Argument::Depth(Depth::Full))
}
