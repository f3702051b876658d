// In: records of `tickwire.v1` in JSON. Out: what a subscriber holds of each topic, exactly as the protocol says:
// a key that is not there is unchanged, null is "there is none", size 0 deletes a level, a snapshot replaces the view.
// Bounded: `TAPE_LENGTH` trades a tape; a book holds what its topic's depth allows.

import { bookHash, quoteHash, sequenceHash } from "./check.js";
import { mantissa, places } from "./decimal.js";

export const TAPE_LENGTH = 60;

/** Everything this page knows, by topic name. */
export class Views {
  constructor() {
    this.byName = new Map();
    this.updates = 0;
    this.merged = 0;
    this.mismatches = 0;
    this.checked = 0;
    this.problems = 0;
    /** Records passed over because their view was wrong and its snapshot had not come yet. */
    this.withheld = 0;
    this.healed = 0;
  }

  get(name) {
    return this.byName.get(name);
  }

  forget(name) {
    this.byName.delete(name);
  }

  clear() {
    this.byName.clear();
  }

  /** Applies the records of one data frame; gives the views that changed. */
  apply(frame) {
    const changed = new Set();
    for (const record of frame.data) {
      const view = this.#applyOne(record);
      if (view) changed.add(view);
    }
    return changed;
  }

  #applyOne(record) {
    if (record.kind === "meta") {
      const view = this.byName.get(record.topic);
      if (view && view.isSameAs(record)) return null;
      const fresh = new View(record, view?.state ?? null);
      this.byName.set(record.topic, fresh);
      return fresh;
    }
    const view = this.byName.get(record.topic);
    if (!view) {
      this.problems += 1;
      return null;
    }
    if (view.heal !== null && view.isWithheld(record)) {
      this.withheld += 1;
      // Asked for already, but refused: a second later is early enough to ask again.
      if (record.kind === "check" && view.heal === "refused") view.heal = "wanted";
      return view;
    }
    if (record.kind === "check") {
      const hash = view.hash();
      if (hash === null) return null;
      this.checked += 1;
      view.isExact = hash === record.hash;
      if (!view.isExact) {
        this.mismatches += 1;
        view.disagreed();
      }
      return view;
    }
    if (record.snapshot && view.heal !== null) {
      view.heal = null;
      view.isExact = null;
      this.healed += 1;
    }
    if (record.kind !== "state") {
      const updates = record.snapshot ? 1 : record.adv;
      this.updates += updates;
      this.merged += Math.max(0, updates - 1);
    }
    if (!view.apply(record)) this.problems += 1;
    return view;
  }
}

/** One topic. `sequence` is null until a snapshot came. */
export class View {
  constructor(meta, state) {
    this.name = meta.topic;
    this.kind = meta.topic_kind;
    this.meta = meta;
    this.state = state;
    this.sequence = null;
    this.time = null;
    this.isStale = false;
    /** Result of the last check: true, false, or null where none came yet. */
    this.isExact = null;
    /** What is done about a failed check: null, "wanted" (a snapshot), "asked" or "refused". */
    this.heal = null;
    this.priceDigits = placesOf(meta.tick, meta.price_exponent);
    this.sizeDigits = placesOf(meta.lot, meta.size_exponent);
    this.#empty();
  }

  isSameAs(meta) {
    const keys = ["topic_kind", "epoch", "price_exponent", "size_exponent"];
    return keys.every((key) => meta[key] === this.meta[key]);
  }

  /** False if something is wrong with the record: without a snapshot before it, nothing is guessed. */
  apply(record) {
    if (record.kind === "state") {
      this.state = { feed: record.feed, trading: record.trading, cause: record.cause, since: record.since };
      return true;
    }
    if (record.snapshot) {
      this.#empty();
      this.sequence = record.seq;
    } else if (this.sequence === null) {
      return false;
    } else {
      this.sequence += record.adv;
    }
    if (record.time && record.time !== "0") this.time = record.time;
    // Single trades come one by one; a jump is a loss that nobody told of. It is applied all the same.
    const isHole = record.kind === "trade" && !record.snapshot && record.adv !== 1;
    this.isStale = record.stale === true;
    return this.#applyBody(record) && !isHole;
  }

  /** A check failed: nothing of this view is shown until a snapshot comes. Of trades only the place is wrong, each is news all the same. */
  disagreed() {
    if (this.heal === null || this.heal === "refused") this.heal = "wanted";
    if (this.kind === "trade") return;
    this.sequence = null;
    this.#empty();
  }

  /** Whether a record makes no sense on a view that waits for its snapshot. */
  isWithheld(record) {
    return this.kind !== "trade" && !record.snapshot && record.kind !== "state";
  }

  /** What the server's `check` would be, or null where this page does not work it out. */
  hash() {
    if (this.sequence === null) return null;
    switch (this.kind) {
      case "quote":
        return quoteHash(this.quote, this.meta);
      case "book":
        return bookHash(this.bids, this.asks, this.meta);
      case "trade":
        return sequenceHash(this.sequence);
      default:
        return null;
    }
  }

  #empty() {
    this.quote = { bid: null, bid_size: null, ask: null, ask_size: null };
    /** Best first, `units` is the price as a whole number for order and arithmetic. */
    this.bids = [];
    this.asks = [];
    /** Newest first. */
    this.tape = [];
    this.status = null;
    this.instrument = null;
  }

  #applyBody(record) {
    switch (record.kind) {
      case "quote":
        this.#applyQuote(record);
        return true;
      case "book":
        this.#applyLevels(this.bids, record.bids, (a, b) => a > b);
        this.#applyLevels(this.asks, record.asks, (a, b) => a < b);
        return true;
      case "trade":
      case "summary":
        this.#print(record);
        return true;
      case "gap":
        if (this.kind === "trade") this.#print(record);
        return true;
      case "tape":
        return true;
      case "status":
        this.status = record;
        return true;
      case "instrument":
        this.instrument = record;
        return true;
      default:
        // A kind of record that is newer than this page.
        return true;
    }
  }

  #applyQuote(record) {
    for (const key of Object.keys(this.quote)) {
      if (key in record) this.quote[key] = record[key];
    }
  }

  #applyLevels(side, levels, isBetter) {
    for (const [price, size] of levels ?? []) {
      const units = mantissa(price, this.meta.price_exponent);
      let low = 0;
      let high = side.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (isBetter(side[middle].units, units)) low = middle + 1;
        else high = middle;
      }
      const isThere = low < side.length && side[low].units === units;
      if (isZero(size)) {
        if (isThere) side.splice(low, 1);
      } else {
        side.splice(low, isThere ? 1 : 0, { price, size, units });
      }
    }
  }

  #print(record) {
    this.tape.unshift(record);
    if (this.tape.length > TAPE_LENGTH) this.tape.length = TAPE_LENGTH;
  }
}

/** `{venue, symbol}` of "quote/venue:SYMBOL" or "book/venue:SYMBOL/10". */
export function nameParts(topic) {
  const [, instrument = ""] = topic.split("/");
  const at = instrument.indexOf(":");
  return { venue: instrument.slice(0, at), symbol: instrument.slice(at + 1) };
}

/** The colour and word for a feed's state: how much the number beside it can be trusted. */
export function trust(view) {
  const feed = view.state?.feed ?? "starting";
  const levels = { live: "good", replay: "good", quiet: "fair", starting: "fair", resyncing: "fair", stale: "bad", down: "bad" };
  const level = view.isStale && levels[feed] === "good" ? "fair" : (levels[feed] ?? "fair");
  return { word: feed, level };
}

/** State of the whole connection, from what was last heard. All times in ms. */
export function connectionState({ isOpen, now, lastHeard, lastData, patience = 15_000, quietAfter = 5_000 }) {
  if (!isOpen) return "down";
  if (now - lastHeard > patience) return "stale";
  return now - lastData > quietAfter ? "quiet" : "live";
}

/** Milliseconds from the server's `sent` to `nowMs`; what the two clocks differ by is in it, so it may be negative. */
export function latencyMs(sent, nowMs) {
  const microseconds = Number(BigInt(sent) / 1000n);
  return nowMs - microseconds / 1000;
}

export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Rows to show: those whose symbol or venue contains every word of the filter, by symbol, at most `limit`. */
export function rowsFor(names, filter, limit) {
  const words = filter.toUpperCase().split(/\s+/).filter(Boolean);
  const matching = names.filter((name) => words.every((word) => name.toUpperCase().includes(word)));
  matching.sort();
  return { rows: matching.slice(0, limit), matching: matching.length };
}

function isZero(size) {
  return /^-?0+(\.0*)?$/.test(size);
}

/** Digits to show behind the point: those of the increment, or of the exponent where none is known. */
function placesOf(increment, exponent) {
  return increment && !isZero(increment) ? places(increment) : Math.max(0, -exponent);
}
