"""Frames, metas and records, the same whichever encoding they came in. Prices and sizes are integers at the exponents of the meta."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Meta:
    """What a topic id stands for and how its numbers scale."""

    topic_id: int
    name: str
    kind: str
    epoch: int
    price_exponent: int
    size_exponent: int
    tick: int
    lot: int
    base: int
    clock: str
    time_exponent: int


@dataclass
class Record:
    """One record. `sequence` is absolute with the flag `snapshot`, else the advance; None in records that move nothing.
    `body` holds the fields of its kind under the names of the JSON encoding."""

    kind: str
    meta: Meta
    flags: int = 0
    sequence: int | None = None
    time_ns: int | None = None
    body: dict = field(default_factory=dict)


@dataclass
class Frame:
    """One data frame. `sent_ns` is the server's clock when it handed the frame to the socket."""

    number: int
    sent_ns: int
    records: list
