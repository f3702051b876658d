"""JSON data frames of tickwire.v1. In: one parsed WebSocket message. Out: a Frame. Keeps a meta for each topic id."""

from .decimals import mantissa
from .errors import DecodeError
from .model import Frame, Meta, Record
from .tables import CAUSES, CLASSES, EVENT_TIMES, FEEDS, FLAGS, MOVING, SNAPSHOT, STATS_FIELDS, TRADING, number_of

PRICES, SIZES = ("bid", "ask", "price", "last", "high", "low"), ("bid_size", "ask_size", "size", "volume")


class JsonDecoder:
    """One connection's decoder."""

    def __init__(self):
        self.metas = {}

    def decode(self, message):
        """`message` is the object of a message that has the key "data"."""
        try:
            records = [self._record(item) for item in message["data"]]
            return Frame(message["frame"], int(message["sent"]), [record for record in records if record is not None])
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"frame {message.get('frame')}: {error!r}") from error

    def _record(self, item):
        kind, topic_id = item["kind"], item.get("id")
        if kind == "meta":
            self.metas[topic_id] = _meta(item)
        if topic_id not in self.metas:
            if kind not in MOVING | {"state", "check"}:
                return None  # a later kind of record, about no topic that this client knows
            raise DecodeError(f"topic id {topic_id} without a meta before it")
        record = Record(kind, self.metas[topic_id])
        if kind in MOVING or "adv" in item or "seq" in item:
            record.flags = item.get("flags", 0) | sum(bit for name, bit in FLAGS.items() if item.get(name))
            record.sequence = item["seq"] if record.flags & SNAPSHOT else item["adv"]
            record.time_ns = int(item["time"])
        record.body = _body(item, kind, record.meta)
        return record


def _meta(item):
    price_exponent, size_exponent = item["price_exponent"], item["size_exponent"]
    tick, lot, base = (
        mantissa(item[key], exponent) for key, exponent in (("tick", price_exponent), ("lot", size_exponent), ("base", price_exponent))
    )
    scale = (price_exponent, size_exponent, tick, lot, base)
    return Meta(item["id"], item["topic"], item["topic_kind"], item["epoch"], *scale, item["clock"], item["time_exponent"])


def _body(item, kind, meta):
    if kind in ("quote", "trade", "summary"):
        body = {key: mantissa(item[key], meta.price_exponent) for key in PRICES if key in item}
        body |= {key: mantissa(item[key], meta.size_exponent) for key in SIZES if key in item}
        if kind == "trade":
            trade_id = item["trade_id"]
            body |= {"aggressor": item["aggressor"], "trade_id": None if trade_id is None else int(trade_id)}
            body["aggregated"] = item.get("aggregated", False)
        if kind == "summary":
            body |= {"count": item["count"], "notional": mantissa(item["notional"], meta.price_exponent + meta.size_exponent)}
        return body
    if kind == "bar":
        return {"bars": [_bar(bar, meta) for bar in item["bars"]]}
    if kind == "stats":
        return _stats(item, meta)
    if kind == "book":
        return {side: [_level(level, meta) for level in item[side]] for side in ("bids", "asks") if side in item}
    if kind in ("status", "state"):
        since = item["since"]
        numbers = (number_of(FEEDS, item["feed"]), number_of(TRADING, item["trading"]), number_of(CAUSES, item["cause"]))
        body = {key: item[key] for key in ("feed", "trading", "cause")}
        return body | {"since": None if since is None else int(since), "numbers": numbers}
    if kind == "instrument":
        return _instrument(item)
    if kind == "gap":
        return {"cause": item["cause"], "missing": item["missing"]}
    return {"hash": item["hash"]} if kind == "check" else {}


def _bar(item, meta):
    bar = {"start": int(item["start"]), "closed": item.get("closed", False), "incomplete": item.get("incomplete", False)}
    bar |= {key: mantissa(item[key], meta.price_exponent) for key in ("open", "high", "low", "close")}
    bar |= {"count": item["count"], "volume": mantissa(item["volume"], meta.size_exponent)}
    return bar | {"notional": mantissa(item["notional"], meta.price_exponent + meta.size_exponent)}


def _stats(item, meta):
    exponents = {"volume": meta.size_exponent, "notional": meta.price_exponent + meta.size_exponent}
    body = {}
    for key in STATS_FIELDS:
        if key not in item:
            continue
        value = item[key]
        if key in ("count", "gaps"):
            body[key] = value
        elif key == "from":
            body[key] = int(value)
        else:
            body[key] = None if value is None else mantissa(value, exponents.get(key, meta.price_exponent))
    return body


def _level(level, meta):
    return mantissa(level[0], meta.price_exponent), mantissa(level[1], meta.size_exponent)


def _instrument(item):
    keys = ("symbol", "native", "class", "price_exponent", "size_exponent", "event_times", "event_time_exponent")
    body = {key: item[key] for key in keys}
    body |= {"tick": mantissa(item["tick"], item["price_exponent"]), "lot": mantissa(item["lot"], item["size_exponent"])}
    times = [EVENT_TIMES.get(kind) for kind in item["event_times"]]
    body["numbers"] = (number_of(CLASSES, item["class"]), None if None in times else sum(times))
    return body
