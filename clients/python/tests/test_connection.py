"""A connection against a scripted server: what is asked, what is told, and how a wrong view heals. No network."""

import asyncio
import json
import unittest

from tickwire import Tracker
from tickwire.connection import Connection

TOPIC = "quote/sim:A"
META = {
    "topic": TOPIC, "id": 7, "kind": "meta", "topic_kind": "quote", "epoch": 3, "price_exponent": -2, "size_exponent": 0, "tick": "0.01",
    "lot": "1", "base": "1", "clock": "event", "time_exponent": -6,
}
STATE = {"topic": TOPIC, "id": 7, "kind": "state", "feed": "live", "trading": "open", "cause": "none", "since": None}
WRONG = {"topic": TOPIC, "id": 7, "kind": "check", "hash": 1}


def quote(bid, **place):
    flags = {"snapshot": True} if "seq" in place else {}
    return {"topic": TOPIC, "id": 7, "kind": "quote", "time": "1", "bid": bid, **flags, **place}


class Server:
    """What a client sees of one: a queue of texts each way."""

    subprotocol = "tickwire.v1.json"

    def __init__(self, *messages):
        self.sent, self.messages, self.frames = [], list(messages), 0

    async def send(self, text):
        self.sent.append(json.loads(text))

    async def recv(self):
        return self.messages.pop(0)

    def frame(self, *records):
        self.frames += 1
        self.messages.append(json.dumps({"frame": self.frames, "sent": "2", "data": records}))

    def reply(self, **message):
        self.messages.append(json.dumps(message))


async def read_all(connection, server):
    while server.messages:
        await connection.receive()


class ConnectionTest(unittest.TestCase):
    def run_with(self, script):
        server = Server()
        connection = Connection(server, Tracker())
        asyncio.run(script(server, connection))
        return server, connection

    def test_all_that_can_be_asked_is_spelled_as_the_server_wants_it(self):
        async def script(_, connection):
            await connection.subscribe(TOPIC, pace="credit", since=50, max_age="2s", trade_safe=True, focus="focused")
            await connection.grant(3)
            await connection.budget(16_000)
            await connection.modify("book/sim:A/5", depth="10")
            await connection.ticket()
            await connection.resume("sealed")

        server, _ = self.run_with(script)
        terms = {"pace": "credit", "since": "-50", "max_age": "2s", "trade_safe": True, "focus": "focused"}
        self.assertEqual(server.sent[0], {"type": "sub", "id": 1, "topics": [TOPIC], **terms})
        self.assertEqual(server.sent[1], {"type": "grant", "frames": 3})
        self.assertEqual(server.sent[2], {"type": "budget", "id": 2, "bytes_per_second": 16_000})
        self.assertEqual(server.sent[3], {"type": "mod", "id": 3, "topics": ["book/sim:A/5"], "depth": "10"})
        self.assertEqual(server.sent[4:], [{"type": "ticket", "id": 4}, {"type": "resume", "id": 5, "ticket": "sealed"}])

    def test_what_slows_the_session_and_what_is_old_is_known(self):
        old = {"topic": TOPIC, "topic_id": 7, "age_ms": 2100, "cause": "down"}

        async def script(server, connection):
            server.reply(type="qos", floor="250ms", cause="own_link", stalled_ms=1200)
            server.reply(type="aged", old=[old])
            self.assertEqual((await connection.receive())["type"], "qos")
            self.assertEqual((await connection.receive())["type"], "aged")
            self.assertEqual((connection.qos["floor"], connection.aged), ("250ms", {7: old}))
            server.reply(type="aged", young=[7])
            await connection.receive()
            self.assertEqual(connection.aged, {})

        self.run_with(script)

    def test_a_wrong_view_is_asked_for_once_and_shown_no_more(self):
        async def script(server, connection):
            server.frame(META, STATE, quote("1.00", seq=10), WRONG, quote("2.00", adv=1))
            server.frame(WRONG, quote("3.00", adv=1))
            await read_all(connection, server)
            topic = connection.tracker.topics[TOPIC]
            self.assertEqual((topic.sequence, topic.view.fields["bid"], topic.state["feed"]), (None, None, "live"))
            self.assertEqual(server.sent, [{"type": "get", "id": 1, "topics": [TOPIC], "heal": True}])
            server.reply(type="error", id=1, code="rate_limited", message="")
            server.frame(quote("4.00", adv=1))
            await read_all(connection, server)
            self.assertEqual(len(server.sent), 1, "not at once")
            server.frame(WRONG)
            await read_all(connection, server)
            self.assertEqual([request["id"] for request in server.sent], [1, 2])
            server.frame(META, quote("5.00", seq=14), quote("6.00", adv=1))
            await read_all(connection, server)

        _, connection = self.run_with(script)
        topic, counts = connection.tracker.topics[TOPIC], connection.tracker.counts
        self.assertEqual((topic.sequence, topic.view.fields["bid"]), (15, 600))
        seen = [counts[name] for name in ("mismatches", "heals", "healed", "withheld", "errors")]
        self.assertEqual(seen, [1, 2, 1, 5, 1])

    def test_trades_go_on_while_their_place_is_healed(self):
        meta = META | {"topic": "trade/sim:A", "topic_kind": "trade"}
        trade = {"topic": "trade/sim:A", "id": 7, "kind": "trade", "adv": 1, "time": "1", "price": "1", "size": "2", "aggressor": "buy"}
        trade |= {"trade_id": None}

        async def script(server, connection):
            tape = {"topic": "trade/sim:A", "id": 7, "kind": "tape", "seq": 5, "snapshot": True, "time": "1"}
            server.frame(meta, tape, WRONG | {"topic": "trade/sim:A"}, trade, trade)
            await read_all(connection, server)
            self.assertEqual(connection.tracker.topics["trade/sim:A"].view.count, 2)
            server.frame(tape | {"seq": 9})
            await read_all(connection, server)

        server, connection = self.run_with(script)
        self.assertEqual(len(server.sent), 1)
        self.assertEqual((connection.tracker.counts["healed"], connection.tracker.topics["trade/sim:A"].sequence), (1, 9))

    def test_a_lost_connection_resumes_only_what_is_right(self):
        async def script(server, connection):
            server.frame(META, quote("1.00", seq=10))
            await read_all(connection, server)
            self.assertEqual(connection.tracker.resume(), {TOPIC: [3, 10]})
            server.frame(WRONG)
            await read_all(connection, server)
            connection.tracker.connection_lost()
            self.assertEqual(connection.tracker.resume(), {})

        self.run_with(script)

    def test_a_ticket_brings_back_what_is_held_and_asks_for_what_is_not(self):
        trade_meta = META | {"topic": "trade/sim:A", "topic_kind": "trade", "id": 8}
        trade = {"topic": "trade/sim:A", "id": 8, "kind": "trade", "adv": 1, "time": "1", "price": "1", "size": "2", "aggressor": "buy"}
        trade |= {"trade_id": None}

        def live(topic, id_, place):
            return {"status": "live", "topic": topic, "topic_id": id_, "start": "delta", "from": place}

        async def script(server, connection):
            # Nothing is held: of the trades only the place is needed.
            server.reply(type="ack", id=1, results=[live(TOPIC, 7, [3, 9]), live("trade/sim:A", 8, [3, 20])])
            server.frame(META, quote("1.00", adv=1), trade_meta, trade)
            server.frame(quote("2.00", seq=11))
            server.reply(type="ticket", ticket="newer", expires="1", topics=2)
            await read_all(connection, server)
            self.assertEqual(server.sent, [{"type": "get", "id": 1, "topics": [TOPIC]}])
            tracker = connection.tracker
            self.assertEqual(tracker.resume(), {TOPIC: [3, 11], "trade/sim:A": [3, 21]})
            self.assertEqual((tracker.counts["withheld"], connection.newest_ticket), (1, "newer"))
            # What is held stands later than the ticket says.
            await connection.resume(connection.newest_ticket)
            self.assertEqual(server.sent[1], {"type": "resume", "id": 2, "ticket": "newer", "resume": {"trade/sim:A": [3, 21]}})
            server.reply(type="ack", id=2, results=[live(TOPIC, 7, [3, 10]), live("trade/sim:A", 8, [3, 21])])
            server.frame(quote("3.00", adv=2), trade)
            await read_all(connection, server)
            self.assertEqual(tracker.resume(), {TOPIC: [3, 12], "trade/sim:A": [3, 22]})
            self.assertEqual((len(server.sent), tracker.errors), (2, []))

        self.run_with(script)

    def test_another_depth_takes_the_place_of_the_former(self):
        async def script(server, connection):
            server.frame(META, quote("1.00", seq=10))
            server.reply(type="ack", id=1, results=[{"status": "live", "topic": "quote/sim:B", "topic_id": 8, "replaces": TOPIC}])
            server.frame(quote("2.00", adv=1))
            await read_all(connection, server)
            self.assertEqual(connection.tracker.topics, {})

        self.run_with(script)


if __name__ == "__main__":
    unittest.main()
