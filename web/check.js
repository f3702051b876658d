// In: what the page holds of a topic. Out: the same CRC-32 that the server sends in `check` records.
// Bounded by the view. A mismatch means this page shows something that the server does not say.

import { mantissa } from "./decimal.js";

/** What stands for "there is none". */
const MISSING = -(2n ** 63n);

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Bid price, bid size, ask price, ask size, each as a little-endian i64. */
export function quoteHash(quote, meta) {
  const view = new DataView(new ArrayBuffer(32));
  const put = (at, text, exponent) => view.setBigInt64(at, text == null ? MISSING : mantissa(text, exponent), true);
  put(0, quote.bid, meta.price_exponent);
  put(8, quote.bid_size, meta.size_exponent);
  put(16, quote.ask, meta.price_exponent);
  put(24, quote.ask_size, meta.size_exponent);
  return crc32(new Uint8Array(view.buffer));
}

/** Per side: number of levels as u32, then price and size of each, best first. */
export function bookHash(bids, asks, meta) {
  const view = new DataView(new ArrayBuffer(8 + 16 * (bids.length + asks.length)));
  let at = 0;
  for (const side of [bids, asks]) {
    view.setUint32(at, side.length, true);
    at += 4;
    for (const level of side) {
      view.setBigInt64(at, level.units, true);
      view.setBigInt64(at + 8, mantissa(level.size, meta.size_exponent), true);
      at += 16;
    }
  }
  return crc32(new Uint8Array(view.buffer));
}

/** A tape is checked by its sequence alone. */
export function sequenceHash(sequence) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(sequence), true);
  return crc32(new Uint8Array(view.buffer));
}
