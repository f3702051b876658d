"""What can be wrong with a frame or with the order of records. Out: exceptions whose text says where and what."""


class DecodeError(ValueError):
    """The bytes are no tickwire.v1 frame."""


class SequenceError(ValueError):
    """A record that cannot follow what came before it: something was lost in silence."""
