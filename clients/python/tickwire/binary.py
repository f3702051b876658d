"""Binary frames of tickwire.v1. In: one WebSocket message. Out: a Frame. Keeps a meta and the newest trade id for each topic id."""

from .errors import DecodeError
from .model import Frame, Meta, Record
from .reader import Reader
from .tables import AGGREGATED, AGGRESSORS, CAUSES, CLASSES, CLOCKS, CLOSED, EVENT_TIMES, FEEDS, INCOMPLETE, KINDS, STATS_FIELDS, TRADING

QUOTE_FIELDS = ((1, "bid"), (2, "bid_size"), (4, "ask"), (8, "ask_size"))
# Widths in bits of what is not a plain 64-bit number: see docs/protocol.md, Values.
PRICE_BITS, WIDE_BITS, TIME_BITS, NULLABLE_PRICE_BITS, NULLABLE_BITS = 66, 128, 67, 66, 65


class BinaryDecoder:
    """One connection's decoder."""

    def __init__(self):
        self.metas = {}
        self.trade_ids = {}

    def decode(self, data):
        reader = Reader(data)
        head = reader.u8()
        if head != 0x10:
            raise DecodeError(f"frame head {head:#04x}: not version 1 without flags")
        number, second = reader.uvarint(), reader.uvarint()
        sent_ns = second * 10**9 + reader.uvarint() * 1000
        frame = Frame(number, sent_ns, [])
        while reader.more():
            record = self._record(reader, second)
            if record is not None:
                frame.records.append(record)
        return frame

    def _record(self, reader, second):
        topic_id, head = reader.uvarint(), reader.u8()
        type_, extra, mask = head >> 5, head & 0x10, head & 0x0F
        flags = reader.u8() if extra else 0
        if type_ == 7:
            return self._extended(reader, second, topic_id, mask, flags)
        meta = self._meta(topic_id)
        if type_ in (5, 6):
            record = Record("check" if type_ == 5 else "state", meta, flags)
        else:
            record = Record("", meta, flags, reader.uvarint() if extra else 1)
            record.time_ns = _time(reader, second, meta)
        body = (self._quote, self._trade, self._book, _status, _gap, _check, _status)[type_]
        body(reader, record, mask)
        return record

    def _meta(self, topic_id):
        meta = self.metas.get(topic_id)
        if meta is None:
            raise DecodeError(f"topic id {topic_id} without a meta before it")
        return meta

    def _quote(self, reader, record, mask):
        record.kind = "quote"
        for bit, name in QUOTE_FIELDS:
            if mask & bit:
                price = name in ("bid", "ask")
                coded = reader.uvarint(NULLABLE_PRICE_BITS if price else NULLABLE_BITS)
                if coded == 0:
                    record.body[name] = None
                elif price:
                    record.body[name] = record.meta.base + _unzigzag(coded - 1)
                else:
                    record.body[name] = coded - 1

    def _trade(self, reader, record, mask):
        if mask == 8:
            record.kind, last = "summary", _price(reader, record.meta)
            record.body = {"last": last, "high": last + reader.zigzag(PRICE_BITS), "low": last + reader.zigzag(PRICE_BITS)}
            record.body |= {"count": reader.uvarint(), "volume": reader.uvarint(WIDE_BITS), "notional": reader.zigzag(WIDE_BITS)}
            return
        if mask & 8:
            raise DecodeError(f"byte {reader.at}: mask {mask} of a summary")
        record.kind = "trade"
        body = {"price": _price(reader, record.meta), "size": reader.uvarint(), "aggressor": AGGRESSORS.get(mask & 3, "unknown")}
        coded = reader.uvarint(NULLABLE_PRICE_BITS)
        trade_id = None if coded == 0 else _unzigzag(coded - 1)
        if trade_id is not None:
            topic_id = record.meta.topic_id
            if not mask & 4:
                if topic_id not in self.trade_ids:
                    raise DecodeError(f"byte {reader.at}: a trade id as a step, and none before it")
                trade_id += self.trade_ids[topic_id]
            self.trade_ids[topic_id] = trade_id
        record.body = body | {"trade_id": trade_id, "aggregated": bool(record.flags & AGGREGATED)}
        record.flags &= ~AGGREGATED

    def _book(self, reader, record, mask):
        if mask & ~3:
            raise DecodeError(f"byte {reader.at}: mask {mask} of a book")
        record.kind = "book"
        for bit, side, direction in ((1, "bids", -1), (2, "asks", 1)):
            if mask & bit:
                record.body[side] = _levels(reader, record.meta, direction)

    def _extended(self, reader, second, topic_id, mask, flags):
        if mask & ~3:
            raise DecodeError(f"byte {reader.at}: mask {mask} of an extended record")
        sequence = reader.uvarint() if mask & 1 else None
        time = reader.zigzag(TIME_BITS) if mask & 2 else None
        number = reader.uvarint()
        body = reader.part(reader.uvarint())
        if number == 1:
            meta = _read_meta(body, topic_id)
            before = self.metas.get(topic_id)
            if before is not None and before.epoch != meta.epoch:
                self.trade_ids.pop(topic_id, None)
            self.metas[topic_id] = meta
            return Record("meta", meta)
        if number not in (2, 3, 4, 5) and topic_id not in self.metas:
            return None  # a later kind of record, about no topic that this client knows
        meta = self._meta(topic_id)
        time_ns = None if time is None else _at(time, second, meta)
        record = Record(f"unknown {number}", meta, flags, sequence, time_ns)
        if number == 2:
            record.kind, record.body = "instrument", _read_instrument(body)
        elif number == 3:
            record.kind = "tape"
        elif number == 4:
            record.kind, record.body = "bar", {"bars": _read_bars(body, second, meta)}
        elif number == 5:
            record.kind, record.body = "stats", _read_stats(body, meta)
        return record


def _time(reader, second, meta):
    return _at(reader.zigzag(TIME_BITS), second, meta)


def _at(units, second, meta):
    return second * 10**9 + units * 10 ** (9 + meta.time_exponent)


def _unzigzag(value):
    return -((value + 1) >> 1) if value & 1 else value >> 1


def _price(reader, meta):
    return meta.base + reader.zigzag(PRICE_BITS)


def _levels(reader, meta, direction):
    levels, price = [], None
    for _ in range(reader.uvarint()):
        price = _price(reader, meta) if price is None else price + direction * reader.uvarint()
        levels.append((price, reader.uvarint()))
    return levels


def _status(reader, record, mask):
    if mask:
        raise DecodeError(f"byte {reader.at}: mask {mask} of a status")
    record.kind = record.kind or "status"
    feed, trading, cause = reader.u8(), reader.u8(), reader.u8()
    if feed not in FEEDS:
        raise DecodeError(f"byte {reader.at}: feed state {feed}")
    numbers = (feed, trading, cause)
    record.body = {"feed": FEEDS[feed], "trading": TRADING.get(trading, "unknown"), "cause": CAUSES.get(cause, "unknown")}
    record.body |= {"since": reader.zigzag() or None, "numbers": numbers}


def _gap(reader, record, mask):
    if mask:
        raise DecodeError(f"byte {reader.at}: mask {mask} of a gap")
    record.kind = "gap"
    cause, missing = reader.uvarint(), reader.uvarint(NULLABLE_BITS)
    record.body = {"cause": CAUSES.get(cause, "unknown"), "missing": missing - 1 if missing else None}


def _check(reader, record, mask):
    if mask:
        raise DecodeError(f"byte {reader.at}: mask {mask} of a check")
    record.body = {"hash": int.from_bytes(reader.take(4), "little")}


def _read_bars(body, second, meta):
    bars, start = [], second
    for _ in range(body.uvarint()):
        start += body.zigzag(PRICE_BITS)
        state, open_ = body.u8(), _price(body, meta)
        bar = {"start": start * 10**9, "closed": bool(state & CLOSED), "incomplete": bool(state & INCOMPLETE), "open": open_}
        bar |= {name: open_ + body.zigzag(PRICE_BITS) for name in ("high", "low", "close")}
        bar |= {"count": body.uvarint(), "volume": body.uvarint(WIDE_BITS), "notional": body.zigzag(WIDE_BITS)}
        bars.append(bar)
    return bars


def _read_stats(body, meta):
    mask, fields = body.uvarint(), {}
    for bit, name in enumerate(STATS_FIELDS):
        if not mask >> bit & 1:
            continue
        if bit < 4:
            coded = body.uvarint(NULLABLE_PRICE_BITS)
            fields[name] = meta.base + _unzigzag(coded - 1) if coded else None
        elif name in ("notional", "from"):
            fields[name] = body.zigzag(WIDE_BITS)
        else:
            fields[name] = body.uvarint(WIDE_BITS if name == "volume" else 64)
    return fields


def _read_meta(body, topic_id):
    kind = KINDS.get(body.uvarint(), "unknown")
    name, epoch = body.text(), body.uvarint()
    price_exponent, size_exponent, tick, lot, base = (body.zigzag() for _ in range(5))
    clock = CLOCKS.get(body.uvarint(), "unknown")
    return Meta(topic_id, name, kind, epoch, price_exponent, size_exponent, tick, lot, base, clock, body.zigzag())


def _read_instrument(body):
    symbol, native, class_ = body.text(), body.text(), body.uvarint()
    price_exponent, size_exponent, tick, lot = (body.zigzag() for _ in range(4))
    times = body.u8()
    return {
        "symbol": symbol, "native": native, "class": CLASSES.get(class_, "unknown"), "price_exponent": price_exponent,
        "size_exponent": size_exponent, "tick": tick, "lot": lot,
        "event_times": [kind for kind, bit in EVENT_TIMES.items() if times & bit], "event_time_exponent": body.zigzag(),
        "numbers": (class_, times),
    }
