"""A client of the protocol tickwire.v1: frames in, exact views out. No I/O here; `tickwire.live` connects. Bounded by what it subscribes to."""

from .binary import BinaryDecoder
from .errors import DecodeError, SequenceError
from .text import JsonDecoder
from .tracker import Tracker

__all__ = ["BinaryDecoder", "DecodeError", "JsonDecoder", "SequenceError", "Tracker"]
