//! One session inside the manager: what is due for it, and who goes first when not all can. In: due subscriptions, grants, floors.
//! Out: the next one to be served. Bounded: a subscription stands in one list; stale entries are less than half of each.

use super::table::FETCH_AHEAD;
use super::{Handle, SessionKey};
use crate::fetch;
use crate::subs::Floor;
use smallvec::SmallVec;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tokio::sync::Notify;
use wire::request::{Encoding, Focus};

/// Who is due for so long goes before all shares: nobody starves.
const SHARE_FLOOR_NS: i64 = 5_000_000_000;
/// A byte, in the units that served bytes are counted in: so small that a share of it is still a number.
const BYTE: u64 = 1 << 20;

/// A place in a line: whose, and since when (of an idle line, which of his).
pub(super) type Place = (Handle, i64);

/// Subscriptions in order, some of them stale.
#[derive(Default)]
pub(super) struct Line {
    waiting: VecDeque<Place>,
    stale: usize,
}

impl Line {
    pub fn push(&mut self, handle: Handle, now: i64) {
        self.waiting.push_back((handle, now));
    }

    pub fn push_front(&mut self, entry: Place) {
        self.waiting.push_front(entry);
    }

    pub fn pop(&mut self) -> Option<Place> {
        self.waiting.pop_front()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    #[cfg(test)]
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.waiting.iter().copied()
    }

    fn oldest(&self) -> Option<i64> {
        self.waiting.front().map(|(_, since)| *since)
    }

    /// A stale entry was taken out.
    pub fn forget_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }

    /// One more entry names nothing. They are swept once they are half of the line: ending many costs one look each.
    pub fn note_stale(&mut self, stands: impl Fn(Place) -> bool) {
        self.stale += 1;
        if self.stale * 2 > self.waiting.len() {
            self.stale = 0;
            self.waiting.retain(|place| stands(*place));
        }
    }

    /// All of it, stale entries too.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Whose turn is in a moment.
    pub fn coming(&self) -> Option<Handle> {
        self.waiting.get(FETCH_AHEAD - 1).map(|(handle, _)| *handle)
    }

    /// Whose turns come before that.
    pub fn next(&self) -> impl Iterator<Item = Handle> {
        self.waiting.iter().take(FETCH_AHEAD).map(|(handle, _)| *handle)
    }

    pub fn into_handles(self) -> impl Iterator<Item = Handle> {
        self.waiting.into_iter().map(|(handle, _)| handle)
    }
}

/// Subscriptions that wait for the same moment.
#[derive(Default)]
pub(super) struct Window {
    /// Monotonic ns.
    begin: i64,
    /// It has begun: who waits here is looked at with the session's next frame.
    is_open: bool,
    waiting: Vec<Handle>,
}

pub(super) struct Member {
    /// By focus. Each is first in, first out.
    due: [Line; Focus::ALL.len()],
    /// One a pace and floor, as a rule one. Those with nobody in them are used again.
    windows: SmallVec<[Window; 1]>,
    /// What each focus has been sent, the smaller the larger its weight. Who has had least goes first.
    served: [u64; Focus::ALL.len()],
    /// Due, as soon as the client grants a frame.
    pub unpaid: Line,
    /// Due, as soon as the node is out of trouble.
    pub deferred: Line,
    /// Frames that the client has granted.
    pub credits: u32,
    /// Trade topic -> the quote that its trades may not overtake.
    pub safe: BTreeMap<u32, Handle>,
    pub floor: Floor,
    /// It stands among those that the next round visits.
    pub is_woken: bool,
    pub wake: Rc<Notify>,
    pub encoding: Encoding,
}

impl Member {
    pub fn new(encoding: Encoding, wake: Rc<Notify>) -> Self {
        Self {
            due: Default::default(),
            windows: SmallVec::new(),
            served: Default::default(),
            unpaid: Line::default(),
            deferred: Line::default(),
            credits: 0,
            safe: BTreeMap::new(),
            floor: Floor::default(),
            is_woken: false,
            wake,
            encoding,
        }
    }

    pub fn is_due(&self) -> bool {
        self.due.iter().any(|line| !line.is_empty()) || self.windows.iter().any(|window| window.is_open)
    }

    /// Puts it among those that the next round visits, unless it stands there.
    pub fn wake_once(&mut self, session: SessionKey, woken: &mut Vec<SessionKey>) {
        if !std::mem::replace(&mut self.is_woken, true) {
            woken.push(session);
        }
    }

    /// Where its lines and windows begin: asks for that.
    pub fn fetch_lines(&self) {
        self.due.iter().filter_map(|line| line.waiting.front()).for_each(fetch::whole);
        self.windows.iter().filter_map(|window| window.waiting.first()).for_each(fetch::whole);
    }

    /// Whom a frame of it looks at first.
    pub fn next(&self) -> impl Iterator<Item = Handle> {
        let open = self.windows.iter().filter(|window| window.is_open);
        let opened = open.flat_map(|window| window.waiting.iter().take(FETCH_AHEAD).copied());
        self.due.iter().flat_map(Line::next).chain(opened)
    }

    /// Puts a subscription under the window that it waits for. True if it is the first one there.
    pub fn wait(&mut self, begin: i64, handle: Handle) -> bool {
        if let Some(window) = self.window(begin) {
            window.waiting.push(handle);
            return false;
        }
        let free = self.windows.iter().position(|window| window.waiting.is_empty()).unwrap_or(self.windows.len());
        if free == self.windows.len() {
            self.windows.push(Window::default());
        }
        self.windows[free].begin = begin;
        self.windows[free].waiting.push(handle);
        true
    }

    /// The window begins.
    pub fn open_window(&mut self, begin: i64) {
        if let Some(window) = self.window(begin) {
            window.is_open = true;
        }
    }

    /// The window that begins then, if somebody waits for it.
    fn window(&mut self, begin: i64) -> Option<&mut Window> {
        self.windows.iter_mut().find(|window| window.begin == begin && !window.waiting.is_empty())
    }

    /// Has this window begun, and nobody looked at who waited for it yet?
    pub fn has_opened(&self, begin: i64) -> bool {
        self.windows.iter().any(|window| window.is_open && window.begin == begin)
    }

    /// A window that has begun, and everybody who waits for it, some of them gone by now.
    pub fn take_window(&mut self) -> Option<(i64, Vec<Handle>)> {
        let window = self.windows.iter_mut().find(|window| window.is_open)?;
        window.is_open = false;
        Some((window.begin, std::mem::take(&mut window.waiting)))
    }

    /// The memory of a window that was taken.
    pub fn give_back(&mut self, mut waiting: Vec<Handle>) {
        waiting.clear();
        if let Some(free) = self.windows.iter_mut().find(|window| window.waiting.capacity() == 0) {
            free.waiting = waiting;
        }
    }

    /// What slows it: its own floor or that of the node.
    pub fn floor_ms(&self, node_floor_ms: u32) -> u32 {
        self.floor.ms.max(node_floor_ms)
    }

    pub fn due_count(&self) -> usize {
        self.due.iter().map(Line::len).sum()
    }

    /// The quote no longer has to be safe before these trades.
    pub fn forget_safe(&mut self, trade: u32, quote: Handle) {
        if let Entry::Occupied(entry) = self.safe.entry(trade)
            && *entry.get() == quote
        {
            entry.remove();
        }
    }

    pub fn line(&mut self, focus: Focus) -> &mut Line {
        &mut self.due[focus as usize]
    }

    pub fn push_due(&mut self, focus: Focus, handle: Handle, now: i64) {
        if self.due[focus as usize].is_empty() {
            // What it did not use while it had nothing to say is gone; nobody saves up.
            let others = self.due.iter().zip(self.served).filter(|(line, _)| !line.is_empty());
            let least = others.map(|(_, served)| served).min().unwrap_or(0);
            self.served[focus as usize] = self.served[focus as usize].max(least);
        }
        self.due[focus as usize].push(handle, now);
    }

    /// The focus whose turn it is; `None`: nothing is due.
    #[inline]
    pub fn turn(&self, now: i64) -> Option<Focus> {
        let waiting = || Focus::ALL.into_iter().filter(|focus| !self.due[*focus as usize].is_empty());
        let first = waiting().next()?;
        if !self.is_shared(first) {
            return Some(first);
        }
        let since = |focus: &Focus| self.due[*focus as usize].oldest().unwrap_or(i64::MAX);
        let starving = waiting().filter(|focus| now - since(focus) >= SHARE_FLOOR_NS).min_by_key(since);
        starving.or_else(|| waiting().min_by_key(|focus| self.served[*focus as usize]))
    }

    /// Is anything due but what is of this focus?
    fn is_shared(&self, focus: Focus) -> bool {
        self.due.iter().enumerate().any(|(at, line)| at != focus as usize && !line.is_empty())
    }

    /// So many bytes went to one subscription of this focus. A focus is worth its weight for each subscription that waits in it.
    pub fn charge(&mut self, focus: Focus, bytes: usize) {
        let waiting = self.due[focus as usize].len() as u64 + 1;
        let price = bytes as u64 * BYTE / (focus.weight() * waiting);
        self.served[focus as usize] = self.served[focus as usize].saturating_add(price);
    }
}
