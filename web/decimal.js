// In: decimal numbers as text. Out: exact comparisons, sums and spellings of them, by way of whole numbers.
// Bounded by the length of the text. Prices are never floating-point numbers here, except for the width of a bar.

/** Whole number of units of 10^exponent in `text`, e.g. ("1.5", -2) -> 150n. Throws if it does not fit exactly. */
export function mantissa(text, exponent) {
  const { digits, places } = split(text);
  const shift = -exponent - places;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const unit = 10n ** BigInt(-shift);
  if (digits % unit !== 0n) throw new RangeError(`${text} is finer than 10^${exponent}`);
  return digits / unit;
}

/** The opposite: (150n, -2) -> "1.50"; zeros at the end are left out down to `fewest` digits behind the point. */
export function plain(units, exponent, fewest = -exponent) {
  if (exponent >= 0) return String(units * 10n ** BigInt(exponent));
  const sign = units < 0n ? "-" : "";
  const digits = String(units < 0n ? -units : units).padStart(1 - exponent, "0");
  let end = digits.length;
  while (end > digits.length + exponent + fewest && digits[end - 1] === "0") end -= 1;
  const fraction = digits.slice(exponent).slice(0, end - digits.length - exponent);
  return `${sign}${digits.slice(0, exponent)}${fraction && `.${fraction}`}`;
}

/** Negative, zero or positive, as `a` is below, at or above `b`. */
export function compare(a, b) {
  const exponent = -Math.max(split(a).places, split(b).places);
  const [x, y] = [mantissa(a, exponent), mantissa(b, exponent)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Digits behind the point. */
export function places(text) {
  return split(text).places;
}

/** For the eye: at least so many digits behind the point, thousands in groups. No digit is lost. */
export function show(text, digitsBehind) {
  const [whole, fraction = ""] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const padded = fraction.padEnd(digitsBehind, "0");
  return padded ? `${grouped}.${padded}` : grouped;
}

function split(text) {
  const match = /^(-?\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) throw new RangeError(`'${text}' is not a decimal`);
  const fraction = match[2] ?? "";
  return { digits: BigInt(match[1] + fraction), places: fraction.length };
}
