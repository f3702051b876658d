"""All topics of one connection. In: frames. Out: views, counts, and an error for each thing that is wrong. Bounded by the subscriptions."""

from collections import Counter
from dataclasses import dataclass

from .errors import SequenceError
from .tables import CONFLATED, SNAPSHOT
from .views import VIEWS


@dataclass
class Topic:
    """One topic as this client holds it. `sequence` is None before the first snapshot; `state` is the newest state record's body."""

    meta: object
    view: object
    sequence: int | None = None
    state: dict | None = None


class Tracker:
    """Applies records, checks sequences and hashes."""

    def __init__(self):
        self.topics = {}  # by name: another connection may have other ids
        self.counts = Counter()
        self.errors = []
        self._frame_number = 0

    def apply(self, frame):
        if frame.number != self._frame_number + 1:
            self._error(f"frame {frame.number} after {self._frame_number}")
        self._frame_number = frame.number
        self.counts["frames"] += 1
        for record in frame.records:
            self.counts[record.kind] += 1
            try:
                self._record(record)
            except SequenceError as error:
                self._error(f"frame {frame.number}: {record.meta.name}: {error}")

    def connection_lost(self):
        """A new connection counts frames from 1; views and sequences stay for `resume`."""
        self._frame_number = 0

    def resume(self):
        """What to put into `resume` of a `sub`."""
        return {name: [topic.meta.epoch, topic.sequence] for name, topic in self.topics.items() if topic.sequence is not None}

    def _record(self, record):
        if record.kind == "meta":
            return self._meta(record.meta)
        topic = self.topics[record.meta.name]
        if record.kind == "state":
            topic.state = record.body
        elif record.kind == "check":
            self._check(topic, record.body["hash"])
        elif record.sequence is not None:
            self._move(topic, record)

    def _meta(self, meta):
        before = self.topics.get(meta.name)
        same = before is not None and all(
            getattr(before.meta, key) == getattr(meta, key) for key in ("kind", "epoch", "price_exponent", "size_exponent")
        )
        if same:
            before.meta = meta
        else:
            view = VIEWS.get(meta.kind)
            self.topics[meta.name] = Topic(meta, view and view())

    def _move(self, topic, record):
        if record.flags & SNAPSHOT:
            self.counts["snapshots"] += 1
            topic.sequence = record.sequence
        elif topic.sequence is None:
            raise SequenceError(f"'{record.kind}' before any snapshot")
        else:
            topic.sequence += record.sequence
            if record.kind == "trade" and record.sequence != 1:
                self._error(f"{topic.meta.name}: a trade advances by {record.sequence}")
            if record.flags & CONFLATED:
                self.counts["merged"] += record.sequence - 1
            if record.kind == "gap":
                self.counts["missing"] += record.body["missing"] or 0
        if topic.view is not None:
            topic.view.apply(record)

    def _check(self, topic, expected):
        if topic.view is None:
            return  # a kind of topic newer than this client
        if topic.sequence is None:
            raise SequenceError("'check' before any snapshot")
        found = topic.view.hash(topic.sequence)
        if found is not None and found != expected:
            self._error(f"{topic.meta.name} at {topic.sequence}: hash {found:#010x}, the server has {expected:#010x}")

    def _error(self, text):
        self.counts["errors"] += 1
        # The first ones tell the story; a flood of them tells nothing more.
        if len(self.errors) < 100:
            self.errors.append(text)
