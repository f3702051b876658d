//! One case on its stage: a shard with its sessions, the feeds, the clients and the time. In: operations. Out: a panic at the first
//! thing that is not right, then or when all has become quiet. Bounded by the case.

use super::client::{Client, Connection, Counts};
use super::held::Begins;
use super::operation::{Ask, Feed, Operation, Redefine, Setup};
use super::script::Action;
use super::world::World;
use crate::clock::Clock;
use crate::config;
use crate::encode::FrameBuilder;
use crate::metrics::ShardMetrics;
use crate::pressure::Pressure;
use crate::session::ticket::Tickets;
use crate::session::{self, BareSubscription, Identity, SessionCore, read};
use crate::shard::{Shard, ShardContext};
use crate::subs::Terms;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use wire::code::Code;
use wire::request::{Pace, Reply};

/// Frames in which all that is due at one moment must have been told.
const MOST_FRAMES: usize = 400;
/// The longest pace.
const LONGEST_MS: i64 = 5_000;
/// Rounds of that length after which even the emptiest bucket has paid for everything: one second's worth a round, of 200 bytes or more.
const MOST_ROUNDS: usize = 2_000;

pub struct Stage {
    world: World,
    shard: Rc<Shard>,
    clients: Vec<Client>,
    counts: Counts,
    next_id: u64,
    node_floor_ms: u32,
    defers_deep: bool,
    _draining: watch::Sender<bool>,
}

/// Runs a case to its end.
pub fn play(setup: &Setup, operations: &[Operation]) {
    let mut stage = Stage::new(setup);
    for operation in operations {
        stage.act(operation);
    }
    stage.come_to_rest();
    stage.leave_nothing();
}

impl Stage {
    fn new(setup: &Setup) -> Self {
        let world = World::new(setup.topics, &setup.venues, &setup.instruments);
        let (draining, seen) = watch::channel(false);
        let context = ShardContext {
            map: world.map.clone(),
            clock: Clock,
            session: Arc::new(setup.session.clone()),
            metrics: Arc::<ShardMetrics>::default(),
            pressure: Pressure::new(&config::Pressure::default()),
            tickets: Arc::new(Tickets::new(&setup.session).expect("a key can be drawn")),
            node: "model".into(),
            draining: seen,
        };
        let clients = setup.clients.iter().map(|setup| Client {
            setup: setup.clone(),
            connection: None,
            kept: BTreeMap::new(),
            saved: BTreeMap::new(),
            ticket: None,
        });
        let clients = clients.collect();
        let shard = Shard::new(0, context);
        let mut stage = Self {
            world,
            shard,
            clients,
            counts: Counts::default(),
            next_id: 0,
            node_floor_ms: 0,
            defers_deep: false,
            _draining: draining,
        };
        for _ in 0..setup.listed {
            stage.world.list();
        }
        stage.dispatch();
        stage
    }

    fn act(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish { at, feed } => {
                // No two things happen at one moment, so that of two states it is known which one is older.
                self.world.pass(1);
                let Self { world, clients, .. } = self;
                let holds = |client: &Client, id| {
                    let connection = client.connection.as_ref();
                    connection.and_then(|connection| connection.account.held.get(&id)).is_some_and(|held| !held.paused)
                };
                world.publish(*at, feed, &|id| clients.iter().any(|client| holds(client, id)));
            }
            Operation::List => {
                self.world.list();
                self.dispatch();
            }
            Operation::VenueKnown(at) => {
                self.world.venue_known(*at);
                self.dispatch();
            }
            Operation::Pass { ms } => {
                self.world.pass(*ms);
                self.dispatch();
            }
            Operation::WallStep { ms } => self.world.step_wall(*ms),
            Operation::Tick => self.world.tick(),
            Operation::Dispatch => self.dispatch(),
            Operation::Connect { who, bare } => {
                self.leave(*who, false);
                let bare = bare.as_ref().map(|bare| BareSubscription {
                    topics: bare.topics.clone(),
                    pace: bare.pace,
                    trades: bare.trades,
                });
                self.connect(*who, bare);
            }
            Operation::Leave { who, loses_frame } => self.leave(*who, *loses_frame),
            Operation::Stall { who } => self.stall(*who),
            Operation::Fill { who } => {
                self.fill(*who);
            }
            Operation::SlowFill { who, ms } => {
                // What buckets add to that would not be seen apart.
                let is_unlimited = self.reading(*who).is_some_and(|connection| connection.is_unlimited());
                self.fill_within(*who, if is_unlimited { *ms } else { 0 });
            }
            Operation::Pressure { floor_ms, defers_deep } => self.press(*floor_ms, *defers_deep),
            Operation::Drain { who } => {
                self.dispatch();
                self.drain(*who);
            }
            Operation::DrainAll => {
                self.dispatch();
                (0..self.clients.len()).for_each(|who| self.drain(who));
            }
            Operation::Save { who } => {
                let client = &mut self.clients[*who];
                if let Some(connection) = &client.connection {
                    let views = connection.account.held.iter().filter_map(|(id, held)| Some((*id, held.view.clone()?)));
                    client.saved.extend(views.filter(|(_, view)| view.sequence.is_some()));
                }
            }
            Operation::Ask { who, ask, fills_between } => self.ask(*who, ask, *fills_between),
        }
    }

    /// What the shard does when it wakes, and sessions that wait for listings after it.
    fn dispatch(&mut self) {
        self.shard.dispatch();
        (0..self.clients.len()).for_each(|who| self.listings(who));
    }

    fn press(&mut self, floor_ms: u32, defers_deep: bool) {
        (self.node_floor_ms, self.defers_deep) = (floor_ms, defers_deep);
        self.shard.manager.borrow_mut().set_pressure(floor_ms, defers_deep, self.world.mono());
        for connection in self.clients.iter_mut().filter_map(|client| client.connection.as_mut()) {
            connection.press(floor_ms, defers_deep);
            connection.hear_news(&self.world);
        }
    }

    /// The connection, if its client reads.
    fn reading(&mut self, who: usize) -> Option<&mut Connection> {
        self.clients[who].connection.as_mut().filter(|connection| !connection.is_stalled)
    }

    fn listings(&mut self, who: usize) {
        let Self { world, clients, .. } = self;
        let connection = clients[who].connection.as_mut().filter(|connection| !connection.is_stalled);
        let Some(connection) = connection.filter(|connection| connection.core.has_listings()) else { return };
        let mut script = connection.account.on_listing(world);
        connection.core.on_listing();
        while connection.core.is_working() {
            if let Some(reply) = connection.core.work() {
                let Reply::Ack { id: None, results, more: false } = reply else { panic!("{reply:?} to a listing") };
                connection.agree(world, &mut script, &results);
            }
        }
        connection.finish(world, &mut script);
    }

    fn connect(&mut self, who: usize, bare: Option<BareSubscription>) {
        let client = &mut self.clients[who];
        let identity = (!client.setup.covered.is_empty() || client.setup.fastest != Pace::Realtime).then(|| Identity {
            subject: "model".to_owned(),
            expires_at: i64::MAX,
            topics: client.setup.covered.clone(),
            fastest: client.setup.fastest,
        });
        let asked = bare.clone();
        let encoding = client.setup.encoding;
        let core = SessionCore::open(session::Client { peer: ([127, 0, 0, 1], 1).into(), encoding, bare, identity }, &self.shard);
        let mut connection = Connection::new(core, &self.world, &client.setup, &self.shard.context.session);
        let Reply::Hello(_) = connection.core.greet() else { panic!("no greeting") };
        connection.press(self.node_floor_ms, self.defers_deep);
        if let Some(BareSubscription { topics, pace, trades }) = asked {
            let terms = Terms { pace, mode: trades, ..Terms::default() };
            let action = Action::Sub { terms, begins: Begins::Newest, resume: BTreeMap::new() };
            let mut script = connection.account.ask(&self.world, action, topics, false);
            let first = connection.core.work();
            connection.answered(&self.world, &mut script, None, first);
            while connection.core.is_working() {
                let part = connection.core.work();
                connection.answered(&self.world, &mut script, None, part);
            }
            connection.finish(&self.world, &mut script);
        }
        connection.hear_news(&self.world);
        self.clients[who].connection = Some(connection);
    }

    fn leave(&mut self, who: usize, loses_frame: bool) {
        let encoding = self.clients[who].setup.encoding;
        let Some(mut connection) = self.clients[who].connection.take() else { return };
        if loses_frame {
            connection.core.fill(&mut FrameBuilder::new(encoding, self.shard.context.session.frame_bytes));
        }
        self.clients[who].kept.extend(connection.into_views());
    }

    fn stall(&mut self, who: usize) {
        let Some(connection) = &mut self.clients[who].connection else { return };
        connection.is_stalled = !connection.is_stalled;
        self.listings(who);
    }

    /// One frame, if there is something due. False if not.
    fn fill(&mut self, who: usize) -> bool {
        self.fill_within(who, 0)
    }

    /// One frame that the link takes so long to take.
    fn fill_within(&mut self, who: usize, ms: i64) -> bool {
        let Self { world, shard, clients, counts, .. } = self;
        let encoding = clients[who].setup.encoding;
        let connection = clients[who].connection.as_mut().filter(|connection| !connection.is_stalled);
        let Some(connection) = connection else { return false };
        connection.hear_news(world);
        let mut frame = shard.take_frame(encoding);
        let filled = connection.core.fill(&mut frame);
        if filled {
            connection.hear_floor();
            connection.receive(world, frame.payload(), counts);
            if ms > 0 {
                world.pass(ms);
            }
            connection.core.wrote(&frame, frame.payload().len());
        }
        connection.hear_news(world);
        shard.give_frame(frame);
        filled
    }

    /// All that is due now.
    fn drain(&mut self, who: usize) {
        for _ in 0..MOST_FRAMES {
            if !self.fill(who) && self.reading(who).is_none_or(|connection| !connection.core.is_ready()) {
                let Self { world, clients, .. } = self;
                let connection = clients[who].connection.as_ref().filter(|connection| !connection.is_stalled);
                if let Some(connection) = connection.filter(|connection| connection.is_unlimited()) {
                    connection.is_caught_up(world, false);
                }
                return;
            }
        }
        panic!("client {who} is told and told, and is still not told everything");
    }

    fn ask(&mut self, who: usize, ask: &Ask, fills_between: bool) {
        if self.reading(who).is_none() {
            return;
        }
        self.next_id += 1;
        let id = self.next_id;
        let client = &mut self.clients[who];
        let places = client.places(&self.world, ask);
        let text = ask.text(id, &places, client.ticket.as_ref());
        let connection = client.connection.as_mut().expect("it reads");
        let admitted = matches!(ask, Ask::Grant { .. }) || connection.admits(self.world.mono());
        let first = connection.core.on_request(read(&text)).unwrap_or_else(|close| panic!("closed with {close:?}"));
        if !admitted {
            let limited = Code::RateLimited.name();
            let is_refused = matches!(&first, Some(Reply::Error { id: told, code, .. }) if *told == Some(id) && code == limited);
            assert!(is_refused, "one command too many, and the answer is {first:?}");
            return;
        }
        if matches!(ask, Ask::Ticket) {
            let mut reply = first;
            while connection.core.is_working() {
                reply = reply.or(connection.core.work());
            }
            let Some(Reply::Ticket { id: Some(told), ticket, expires, topics }) = &reply else {
                panic!("{reply:?}, not a ticket")
            };
            let expires: i64 = expires.parse().expect("a time");
            let lifetime_ns = self.shard.context.session.ticket_lifetime_s as i64 * 1_000_000_000;
            let ticket = connection.account.ticket(&self.world, ticket, expires);
            let count = (ticket.topics.len() + ticket.patterns.len()) as u64;
            assert_eq!((*told, expires, *topics), (id, self.world.wall() + lifetime_ns, count));
            client.ticket = Some(ticket);
            return;
        }
        let ticket = client.ticket.as_ref();
        let Some(mut script) = ask.script(&mut connection.account, &self.world, places, ticket) else {
            return connection.check_answer(&self.world, ask, id, first.as_ref(), ticket.is_some());
        };
        connection.answered(&self.world, &mut script, Some(id), first);
        while self.clients[who].connection.as_ref().is_some_and(|connection| connection.core.is_working()) {
            if fills_between && ask.is_told_as_done() {
                self.fill(who);
            }
            let connection = self.clients[who].connection.as_mut().expect("it reads");
            let part = connection.core.work();
            connection.answered(&self.world, &mut script, Some(id), part);
        }
        let connection = self.clients[who].connection.as_mut().expect("it reads");
        connection.finish(&self.world, &mut script);
        self.listings(who);
    }

    /// No more news; everybody reads, nobody pauses, and time passes: then everybody has everything.
    fn come_to_rest(&mut self) {
        self.press(0, false);
        for who in 0..self.clients.len() {
            let Some(connection) = &mut self.clients[who].connection else { continue };
            connection.is_stalled = false;
            // Its bucket of commands may be empty.
            self.world.pass(1_000);
            self.listings(who);
            self.ask(who, &Ask::Continue(None), false);
        }
        let mut left = MOST_ROUNDS;
        loop {
            self.dispatch();
            for who in 0..self.clients.len() {
                self.ask(who, &Ask::Grant { frames: 2, answered: false }, false);
            }
            (0..self.clients.len()).for_each(|who| self.drain(who));
            let is_due = |client: &Client| {
                let connection = client.connection.as_ref();
                // An empty bucket makes it not ready, and yet it is due.
                connection.is_some_and(|connection| connection.core.is_ready() || !connection.is_told(&self.world))
            };
            if self.shard.manager.borrow().next_window().is_none() && !self.clients.iter().any(is_due) {
                break;
            }
            left -= 1;
            if left == 0 {
                for connection in self.clients.iter().filter_map(|client| client.connection.as_ref()) {
                    connection.is_caught_up(&self.world, true);
                }
                panic!("it does not come to rest: {:?} waits", self.shard.manager.borrow().next_window());
            }
            self.world.pass(LONGEST_MS);
        }
        let mut held = 0;
        for connection in self.clients.iter().filter_map(|client| client.connection.as_ref()) {
            connection.is_caught_up(&self.world, true);
            held += connection.account.held.len();
        }
        let manager = self.shard.manager.borrow();
        assert_eq!(manager.subscription_count(), held, "subscriptions of the manager");
        assert_eq!(manager.session_count(), self.clients.iter().filter(|client| client.connection.is_some()).count());
        let metrics = &self.shard.context.metrics;
        assert_eq!(metrics.subscriptions.get(), held as i64, "the metric of subscriptions");
        let counted = Counts {
            frames: metrics.frames.get(),
            records: metrics.records.get(),
            merged: metrics.merged_updates.get(),
            gaps: metrics.gaps.get(),
            snapshots: metrics.snapshots.get(),
            checks: metrics.checks_sent.get(),
        };
        assert_eq!(counted, self.counts, "what the metrics say, and what came");
    }

    /// All leave, and nothing of them stays.
    fn leave_nothing(&mut self) {
        (0..self.clients.len()).for_each(|who| self.leave(who, who % 2 == 0));
        self.shard.dispatch();
        for at in 0..self.world.truths.len() {
            let exponent = Feed::Redefine(Redefine::Exponent(-9));
            self.world.publish(at, &exponent, &|_| false);
        }
        let map = &self.world.map;
        map.marks(0).drain(|id| panic!("{} is marked for nobody", self.world.key(id)));
        self.world.pass(2 * LONGEST_MS);
        self.shard.dispatch();
        let manager = self.shard.manager.borrow();
        assert_eq!((manager.session_count(), manager.subscription_count(), manager.next_window()), (0, 0, None));
        let metrics = &self.shard.context.metrics;
        assert_eq!((metrics.sessions.get(), metrics.subscriptions.get()), (0, 0));
    }
}
