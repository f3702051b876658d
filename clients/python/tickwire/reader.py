"""The building blocks of binary frames. In: bytes. Out: integers and text. Bounded by the bytes; reads past the end are errors."""

from .errors import DecodeError


class Reader:
    """A place in some bytes."""

    def __init__(self, data, at=0, end=None):
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    def more(self):
        return self.at < self.end

    def u8(self):
        if self.at >= self.end:
            raise DecodeError(f"byte {self.at}: the frame ends inside a field")
        self.at += 1
        return self.data[self.at - 1]

    def uvarint(self, bits=64):
        value, shift, start = 0, 0, self.at
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if value >> bits:
                raise DecodeError(f"byte {start}: a number of more than {bits} bits")
            if byte < 0x80:
                return value
            shift += 7
            if shift >= bits:
                raise DecodeError(f"byte {start}: a number that does not end")

    def zigzag(self, bits=64):
        value = self.uvarint(bits)
        return -((value + 1) >> 1) if value & 1 else value >> 1

    def text(self):
        raw = self.take(self.uvarint())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"byte {self.at}: text that is not UTF-8") from error

    def take(self, length):
        if length > self.end - self.at:
            raise DecodeError(f"byte {self.at}: {length} bytes announced, {self.end - self.at} are there")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def part(self, length):
        """A reader of the next `length` bytes; this one goes on behind them."""
        inner = Reader(self.data, self.at, self.at + length)
        self.take(length)
        return inner
