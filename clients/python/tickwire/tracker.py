"""All topics of one connection. In: frames. Out: views, counts, an error for each thing that is wrong, and the topics whose views have to be
healed. Bounded by the subscriptions."""

from collections import Counter
from dataclasses import dataclass

from .errors import SequenceError
from .tables import CONFLATED, SNAPSHOT
from .views import VIEWS

WANTED, REFUSED = "wanted", "refused"


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
        self._heals = {}  # name -> WANTED, REFUSED, or the id of the request
        self._begins = {}  # trade topics without a view -> the place that they go on from
        self._blank = []

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
        """A new connection counts frames from 1; views and sequences stay for `resume`, unless they are known to be wrong."""
        self._frame_number = 0
        for name in self._heals:
            self.topics.pop(name, None)
        self._heals.clear()
        self._begins, self._blank = {}, []

    def forget(self, name):
        """Gives up a topic."""
        self.topics.pop(name, None)
        self._heals.pop(name, None)

    def to_heal(self):
        """Topics whose views disagreed with a check: ask for them with `get` and `heal`, and call `healing` with the id."""
        return [name for name, stage in self._heals.items() if stage == WANTED] if self._heals else []

    def healing(self, names, id_):
        self.counts["heals"] += len(names)
        self._heals |= dict.fromkeys(names, id_)

    def heal_refused(self, id_, name=None):
        """The next check asks again: checks are about a second apart, so this is no flood."""
        for healing, stage in self._heals.items():
            if stage == id_ and name in (None, healing):
                self._heals[healing] = REFUSED

    def resume(self, kind=None):
        """What to put into `resume` of a `sub`; with a ticket only trades need it, all other values are absolute."""
        held = {name: topic for name, topic in self.topics.items() if topic.sequence is not None and kind in (None, topic.meta.kind)}
        return {name: [topic.meta.epoch, topic.sequence] for name, topic in held.items()}

    def goes_on_from(self, name, epoch, sequence):
        """The place of a ticket, which may be behind the view: values are absolute, so what comes from there applies on top of it."""
        topic = self.topics.get(name)
        if topic is not None and topic.meta.epoch == epoch and topic.sequence is not None:
            topic.sequence = sequence
        elif name.startswith("trade/"):
            # Trades are news whatever was before them: only the place is needed.
            self.topics.pop(name, None)
            self._begins[name] = (epoch, sequence)
        else:
            self._blank.append(name)

    def take_blank(self):
        """Topics of a ticket that go on though nothing is held of them: ask for them with `get`, and call `healing` with the id."""
        blank, self._blank = self._blank, []
        return blank

    def _record(self, record):
        if record.kind == "meta":
            return self._meta(record.meta)
        topic = self.topics.get(record.meta.name)
        if topic is None:
            return  # given up while its last records were on their way
        if record.kind == "state":
            topic.state = record.body
        elif self._is_withheld(record, topic.meta):
            self.counts["withheld"] += 1
        elif record.kind == "check":
            self._check(topic, record.body["hash"])
        elif record.sequence is not None:
            self._move(topic, record)

    def _is_withheld(self, record, meta):
        """Nothing goes on top of a view that disagreed, until a snapshot comes. Trades are news all the same."""
        if record.meta.name not in self._heals or meta.kind == "trade" or record.flags & SNAPSHOT:
            return False
        if record.kind == "check" and self._heals[meta.name] == REFUSED:
            self._heals[meta.name] = WANTED
        return True

    def _meta(self, meta):
        before = self.topics.get(meta.name)
        same = before is not None and all(
            getattr(before.meta, key) == getattr(meta, key) for key in ("kind", "epoch", "price_exponent", "size_exponent")
        )
        if same:
            before.meta = meta
        else:
            view = VIEWS.get(meta.kind)
            epoch, sequence = self._begins.pop(meta.name, (None, None))
            self.topics[meta.name] = Topic(meta, view and view(), sequence if epoch == meta.epoch else None)

    def _move(self, topic, record):
        if record.flags & SNAPSHOT:
            self.counts["snapshots"] += 1
            topic.sequence = record.sequence
            if self._heals.pop(topic.meta.name, None) is not None:
                self.counts["healed"] += 1
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
            self.counts["mismatches"] += 1
            self._disagreed(topic)

    def _disagreed(self, topic):
        name = topic.meta.name
        if self._heals.get(name, REFUSED) == REFUSED:
            self._heals[name] = WANTED
        # Of trades, nothing that was handed out is wrong: only the place is, and the snapshot sets it.
        if topic.meta.kind != "trade":
            topic.view, topic.sequence = type(topic.view)(), None

    def _error(self, text):
        self.counts["errors"] += 1
        # The first ones tell the story; a flood of them tells nothing more.
        if len(self.errors) < 100:
            self.errors.append(text)
