"""One connection. In: an open WebSocket. Out: frames applied to a Tracker, control messages, requests. Views that fail a check are
asked for again. Needs nothing but an object with `send`, `recv` and `subprotocol`."""

import json

from .binary import BinaryDecoder
from .text import JsonDecoder


class Connection:
    """Wraps an open WebSocket: frames are applied to the tracker.

    `qos` is what slows the session (None: nothing did so far), `aged` the topics whose data is older than their `max_age`, by id, `newest_ticket`
    the text of the last ticket that came."""

    def __init__(self, socket, tracker):
        self._socket, self.tracker = socket, tracker
        self._decoder = BinaryDecoder() if socket.subprotocol == "tickwire.v1.bin" else JsonDecoder()
        self._next_id = 1
        self.bytes_received = 0
        self.qos, self.aged, self.newest_ticket = None, {}, None

    async def send(self, **message):
        """Any request of docs/protocol.md, as it is."""
        await self._socket.send(json.dumps(message))

    async def ask(self, type_, **message):
        """A request with an id, which is returned: the answer carries it."""
        id_ = self._next_id
        self._next_id += 1
        await self.send(type=type_, id=id_, **message)
        return id_

    async def subscribe(self, *topics, **options):
        """Options: pace, trades, snapshot, since (a number of last trades), trade_safe, focus, max_age, strict. Resumes what the
        tracker holds."""
        if options.get("since") is not None:
            options["since"] = f"-{options['since']}"
        if resume := self.tracker.resume():
            options.setdefault("resume", resume)
        return await self.ask("sub", topics=list(topics), **options)

    async def modify(self, *topics, **changes):
        """Changes: pace, trades, depth (of books), trade_safe, focus, max_age."""
        return await self.ask("mod", topics=list(topics), **changes)

    async def grant(self, frames=1):
        """So many more frames at the pace `credit`; not answered."""
        await self.send(type="grant", frames=frames)

    async def budget(self, bytes_per_second):
        """The client's own limit of what it is sent; 0 takes it back."""
        return await self.ask("budget", bytes_per_second=bytes_per_second)

    async def ticket(self):
        """Asks for a sealed account of all subscriptions and where they stand; the answer is the control message `ticket`."""
        return await self.ask("ticket")

    async def resume(self, ticket):
        """Takes up all subscriptions of a ticket. Trades go on from where the tracker holds them, or else from the ticket's place; any other
        topic that it does not hold is asked for a snapshot."""
        places = self.tracker.resume("trade")
        return await self.ask("resume", ticket=ticket, **({"resume": places} if places else {}))

    async def receive(self):
        """The next message: a Frame that has been applied, or a control message as a dict, `qos` and `aged` among them."""
        raw = await self._socket.recv()
        self.bytes_received += len(raw)
        if isinstance(raw, str):
            message = json.loads(raw)
            if "data" not in message:
                self._control(message)
                if topics := self.tracker.take_blank():
                    self.tracker.healing(topics, await self.ask("get", topics=topics))
                return message
            raw = message
        frame = self._decoder.decode(raw)
        self.tracker.apply(frame)
        if topics := self.tracker.to_heal():
            self.tracker.healing(topics, await self.ask("get", topics=topics, heal=True))
        return frame

    def _control(self, message):
        kind = message.get("type")
        if kind == "qos":
            self.qos = message
        elif kind == "aged":
            for id_ in message.get("young", ()):
                self.aged.pop(id_, None)
            self.aged |= {old["topic_id"]: old for old in message.get("old", ())}
        elif kind in ("ticket", "notice") and "ticket" in message:
            self.newest_ticket = message["ticket"]
        elif kind == "error" and "id" in message:
            self.tracker.heal_refused(message["id"])
        elif kind == "ack":
            for result in message.get("results", ()):
                self._result(message.get("id"), result)

    def _result(self, id_, result):
        if result.get("status") == "refused" and id_ is not None:
            self.tracker.heal_refused(id_, result["topic"])
        if "replaces" in result:
            self.tracker.forget(result["replaces"])
        if "from" in result:
            self.tracker.goes_on_from(result["topic"], *result["from"])
