"""What a topic looks like after its records, and its hash. In: records in order. Out: exact values. Bounded by the topic's depth."""

import struct
from zlib import crc32

from .tables import CLOSED, INCOMPLETE, SNAPSHOT, STATS_FIELDS

MISSING = -(1 << 63)


class QuoteView:
    """Best bid and ask with their sizes; None is missing."""

    FIELDS = ("bid", "bid_size", "ask", "ask_size")

    def __init__(self):
        self.fields = dict.fromkeys(self.FIELDS)

    def apply(self, record):
        if record.kind != "quote":
            return
        if record.flags & SNAPSHOT:
            self.fields = dict.fromkeys(self.FIELDS)
        self.fields |= record.body

    def hash(self, _sequence):
        return crc32(struct.pack("<4q", *(MISSING if self.fields[name] is None else self.fields[name] for name in self.FIELDS)))


class BookView:
    """Price to size, each side."""

    def __init__(self):
        self.bids, self.asks = {}, {}

    def apply(self, record):
        if record.kind != "book":
            return
        if record.flags & SNAPSHOT:
            self.bids, self.asks = {}, {}
        for side, name in ((self.bids, "bids"), (self.asks, "asks")):
            for price, size in record.body.get(name, ()):
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def levels(self, name, count=None):
        """The best levels of "bids" or "asks", best first."""
        return sorted(getattr(self, name).items(), reverse=name == "bids")[:count]

    def hash(self, _sequence):
        crc = 0
        for name in ("bids", "asks"):
            levels = self.levels(name)
            flat = [number for level in levels for number in level]
            crc = crc32(struct.pack(f"<I{len(flat)}q", len(levels), *flat), crc)
        return crc


class TradeView:
    """The newest trade or summary, and totals of all that was received since the last snapshot."""

    def __init__(self):
        self.last, self.count, self.volume, self.notional, self.missing = None, 0, 0, 0, 0

    def apply(self, record):
        if record.flags & SNAPSHOT:
            self.__init__()
        body = record.body
        if record.kind == "trade":
            self.last = body
            self.count, self.volume, self.notional = self.count + 1, self.volume + body["size"], self.notional + body["price"] * body["size"]
        elif record.kind == "summary":
            self.last = body
            self.count, self.volume = self.count + body["count"], self.volume + body["volume"]
            self.notional += body["notional"]
        elif record.kind == "gap":
            self.missing += body["missing"] or 0

    def hash(self, sequence):
        return crc32(struct.pack("<Q", sequence))


class BarView:
    """The newest bars, by their starts."""

    KEPT = 8

    def __init__(self):
        self.bars = {}

    def apply(self, record):
        if record.kind != "bar":
            return
        if record.flags & SNAPSHOT:
            self.bars = {}
        self.bars |= {bar["start"]: bar for bar in record.body["bars"]}
        self.bars = dict(sorted(self.bars.items())[-self.KEPT :])

    def hash(self, _sequence):
        crc = crc32(struct.pack("<I", len(self.bars)))
        for bar in self.bars.values():
            state = bar["closed"] * CLOSED | bar["incomplete"] * INCOMPLETE
            prices = (bar[name] for name in ("open", "high", "low", "close"))
            crc = crc32(struct.pack("<qB4qQ", bar["start"], state, *prices, bar["count"]), crc)
            crc = crc32(bar["volume"].to_bytes(16, "little") + bar["notional"].to_bytes(16, "little", signed=True), crc)
        return crc


class StatsView:
    """The last 24 hours of trading; None is missing."""

    def __init__(self):
        self.fields = dict.fromkeys(STATS_FIELDS)

    def apply(self, record):
        if record.kind != "stats":
            return
        if record.flags & SNAPSHOT:
            self.fields = dict.fromkeys(STATS_FIELDS)
        self.fields |= record.body

    def hash(self, _sequence):
        fields = self.fields
        prices = struct.pack("<4q", *(MISSING if fields[name] is None else fields[name] for name in STATS_FIELDS[:4]))
        sums = fields["volume"].to_bytes(16, "little") + fields["notional"].to_bytes(16, "little", signed=True)
        return crc32(prices + sums + struct.pack("<QQq", fields["count"], fields["gaps"], fields["from"]))


class ValueView:
    """A status or an instrument: every record is the whole value. The hash is None where a name is newer than this client."""

    def __init__(self):
        self.value = None

    def apply(self, record):
        if record.kind in ("status", "instrument"):
            self.value = record.body


class StatusView(ValueView):
    def hash(self, _sequence):
        if None in self.value["numbers"]:
            return None
        return crc32(struct.pack("<BBBq", *self.value["numbers"], self.value["since"] or 0))


class InstrumentView(ValueView):
    def hash(self, _sequence):
        value, (class_, times) = self.value, self.value["numbers"]
        if class_ is None or times is None:
            return None
        texts = b"".join(struct.pack("<H", len(raw)) + raw for raw in (value["symbol"].encode(), value["native"].encode()))
        numbers = (class_, value["price_exponent"], value["size_exponent"], value["tick"], value["lot"], times)
        return crc32(texts + struct.pack("<BbbqqBb", *numbers, value["event_time_exponent"]))


VIEWS = {
    "quote": QuoteView, "trade": TradeView, "book": BookView, "status": StatusView, "instrument": InstrumentView, "bar": BarView,
    "stats": StatsView,
}
