"""The protocol's numbers and names, as docs/protocol.md lists them. In: a number or a name. Out: the name, or `unknown` for newer ones."""

KINDS = {1: "quote", 2: "trade", 3: "book", 4: "status", 5: "instrument", 6: "bar", 7: "stats"}
FEEDS = {0: "starting", 1: "live", 2: "quiet", 3: "stale", 4: "resyncing", 5: "down", 6: "replay"}
TRADING = {0: "unknown", 1: "open", 2: "halted", 3: "auction", 4: "closed"}
CAUSES = {
    0: "none", 1: "startup", 2: "silence", 3: "disconnected", 4: "sequence_gap", 5: "checksum_mismatch",
    6: "snapshot_unavailable", 7: "crossed_book", 8: "redefinition", 9: "venue_shutdown", 10: "venue_halt", 11: "overrun",
    12: "bad_data", 13: "server_shutdown", 14: "upstream_lost",
}
CLOCKS = {0: "event", 1: "received"}
AGGRESSORS = {0: "unknown", 1: "buy", 2: "sell"}
CLASSES = {0: "spot", 1: "perpetual", 2: "future", 3: "option", 4: "equity", 5: "index"}

LAST_OF_EVENT, SNAPSHOT, BAD_RECEIVE_TIME, MAYBE_BAD_BOOK, STALE, CONFLATED = 0x80, 0x20, 0x08, 0x04, 0x02, 0x01
FLAGS = {
    "last_of_event": LAST_OF_EVENT, "snapshot": SNAPSHOT, "bad_receive_time": BAD_RECEIVE_TIME,
    "maybe_bad_book": MAYBE_BAD_BOOK, "stale": STALE, "conflated": CONFLATED,
}
AGGREGATED = 0x10
# Bits of a bar's state.
CLOSED, INCOMPLETE = 1, 2
# Fields of `stats` in the order of their bits.
STATS_FIELDS = ("last", "open", "high", "low", "volume", "notional", "count", "gaps", "from")
EVENT_TIMES = {"quote": 1, "trade": 2, "book": 4}

# Records that carry a sequence, a flag byte and a time. `check`, `state` and `meta` do not.
MOVING = {"quote", "trade", "summary", "tape", "book", "status", "instrument", "bar", "stats", "gap"}


def number_of(table, name):
    """The number behind a name; None for a name that this client does not know."""
    return next((number for number, known in table.items() if known == name), None)
