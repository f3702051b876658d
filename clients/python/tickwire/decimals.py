"""Decimals as text to mantissas at an exponent and back, exactly: integers only. A value that does not fit is an error."""

from .errors import DecodeError

I64 = range(-(1 << 63), 1 << 63)


def mantissa(text, exponent):
    """`mantissa("1.5", -2)` is 150. None stays None: missing."""
    if text is None:
        return None
    digits = text.removeprefix("-") if isinstance(text, str) else ""
    whole, dot, fraction = digits.partition(".")
    if not whole.isascii() or not whole.isdigit() or (dot and not (fraction.isascii() and fraction.isdigit())):
        raise DecodeError(f"{text!r} is no decimal")
    value, shift = int(whole + fraction), -len(fraction) - exponent
    if shift >= 0:
        value *= 10**shift
    else:
        value, rest = divmod(value, 10**-shift)
        if rest:
            raise DecodeError(f"{text!r} is finer than 1e{exponent}")
    return -value if text.startswith("-") else value


def plain(value, exponent):
    """`plain(150, -2)` is "1.5": no trailing zeros, never an exponent. None is "-"."""
    if value is None:
        return "-"
    sign, digits = "-" if value < 0 else "", str(abs(value))
    if exponent >= 0:
        return sign + (digits + "0" * exponent if value else "0")
    digits = digits.rjust(1 - exponent, "0")
    fraction = digits[exponent:].rstrip("0")
    return sign + digits[:exponent] + ("." + fraction if fraction else "")
