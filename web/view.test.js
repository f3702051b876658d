// The page's logic without a page: decimals, views, checks, states. Run: node --test web/

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { bookHash, crc32, quoteHash, sequenceHash } from "./check.js";
import { compare, mantissa, places, plain, show } from "./decimal.js";
import { pauseMs } from "./link.js";
import { AHEAD, Paint, grantSpacingMs } from "./paint.js";
import { Ages, slowedText, slowedTitle } from "./quality.js";
import { TAPE_LENGTH, Views, connectionState, latencyMs, median, nameParts, rowsFor, trust } from "./view.js";

const meta = (topic, kind, more = {}) => ({
  topic, id: 1, kind: "meta", topic_kind: kind, epoch: 7, price_exponent: -2, size_exponent: -3, tick: "0.01", lot: "0.001",
  base: "100.00", clock: "event", time_exponent: -6, ...more,
});
const feed = (views, ...data) => views.apply({ frame: 1, sent: "1700000000000000000", data });

test("decimals keep every digit", () => {
  assert.equal(mantissa("1.5", -2), 150n);
  assert.equal(mantissa("-0.01", -2), -1n);
  assert.equal(mantissa("1200", 2), 12n);
  assert.throws(() => mantissa("1.005", -2), /finer/);
  assert.throws(() => mantissa("1e5", -2), /not a decimal/);
  assert.equal(plain(150n, -2), "1.50");
  assert.equal(plain(-1n, -2), "-0.01");
  assert.equal(plain(5n, 3), "5000");
  assert.equal(plain(1500n, -3, 1), "1.5");
  assert.equal(plain(1550n, -3, 1), "1.55");
  assert.equal(plain(2000n, -3, 0), "2");
  assert.equal(plain(0n, -3, 2), "0.00");
  // These two are the same floating-point number.
  assert.equal(compare("9007199254740993.00000001", "9007199254740993.00000002"), -1);
  assert.equal(compare("1.10", "1.1"), 0);
  assert.equal(compare("-2", "-3"), 1);
  assert.equal(places("0.00010"), 5);
  assert.equal(show("1234567.5", 2), "1,234,567.50");
  assert.equal(show("-999", 0), "-999");
});

test("a quote: omitted is unchanged, null is missing", () => {
  const views = new Views();
  feed(views, meta("quote/sim:A", "quote"),
    { topic: "quote/sim:A", kind: "quote", seq: 41, snapshot: true, time: "5", bid: "99.99", bid_size: "1", ask: "100.01", ask_size: "2" });
  const view = views.get("quote/sim:A");
  feed(views, { topic: "quote/sim:A", kind: "quote", adv: 3, conflated: true, time: "6", bid: "100.00", ask_size: null });
  assert.deepEqual(view.quote, { bid: "100.00", bid_size: "1", ask: "100.01", ask_size: null });
  assert.equal(view.sequence, 44);
  assert.equal(view.time, "6");
  assert.equal(views.merged, 2);
  feed(views, { topic: "quote/sim:A", kind: "quote", seq: 50, snapshot: true, time: "7", bid: "1.00" });
  assert.deepEqual(view.quote, { bid: "1.00", bid_size: null, ask: null, ask_size: null });
});

test("a book: sizes are absolute, zero deletes, order is by exact price", () => {
  const views = new Views();
  const topic = "book/sim:A/10";
  feed(views, meta(topic, "book"),
    { topic, kind: "book", seq: 1, snapshot: true, time: "1", bids: [["99.99", "1"], ["99.98", "2"]], asks: [["100.01", "3"]] });
  feed(views, { topic, kind: "book", adv: 1, time: "2", bids: [["99.98", "0"], ["100.00", "5"], ["9.50", "1"], ["99.99", "4"]], asks: [["100.02", "1"], ["7.00", "0.000"]] });
  const view = views.get(topic);
  const shown = (side) => side.map((entry) => `${entry.price}x${entry.size}`).join(" ");
  assert.equal(shown(view.bids), "100.00x5 99.99x4 9.50x1");
  assert.equal(shown(view.asks), "100.01x3 100.02x1");
  feed(views, { topic, kind: "book", seq: 9, snapshot: true, time: "3", asks: [["101.00", "1"]] });
  assert.equal(shown(view.bids), "");
  assert.equal(shown(view.asks), "101.00x1");
});

test("a tape: newest first, gaps in it, bounded", () => {
  const views = new Views();
  const topic = "trade/sim:A";
  feed(views, meta(topic, "trade"), { topic, kind: "tape", seq: 10, snapshot: true, time: "0" });
  const trade = (price) => ({ topic, kind: "trade", adv: 1, time: "1", price, size: "1", aggressor: "buy", trade_id: null });
  feed(views, trade("1.00"), { topic, kind: "gap", adv: 4, cause: "overrun", missing: 4, time: "0" }, trade("2.00"));
  const view = views.get(topic);
  assert.deepEqual(view.tape.map((print) => print.price ?? print.missing), ["2.00", 4, "1.00"]);
  assert.equal(view.sequence, 16);
  for (let count = 0; count < 100; count += 1) feed(views, trade("3.00"));
  assert.equal(view.tape.length, TAPE_LENGTH);
});

test("nothing is guessed without a snapshot, and a new epoch starts over", () => {
  const views = new Views();
  const topic = "quote/sim:A";
  feed(views, { topic, kind: "quote", adv: 1, time: "1", bid: "1.00" });
  assert.equal(views.problems, 1);
  feed(views, meta(topic, "quote"), { topic, kind: "quote", adv: 1, time: "1", bid: "1.00" });
  assert.equal(views.problems, 2);
  assert.equal(views.get(topic).quote.bid, null);
  feed(views, { topic, kind: "quote", seq: 1, snapshot: true, time: "1", bid: "1.00" },
    { topic, kind: "state", feed: "live", trading: "open", cause: "none", since: null });
  const before = views.get(topic);
  feed(views, meta(topic, "quote"));
  assert.equal(views.get(topic), before, "the same meta again changes nothing");
  feed(views, meta(topic, "quote", { epoch: 8 }));
  assert.equal(views.get(topic).quote.bid, null);
  assert.equal(views.get(topic).state.feed, "live", "the feed's state outlives the epoch");
});

test("records of a kind this page does not know are passed over", () => {
  const views = new Views();
  const topic = "quote/sim:A";
  feed(views, meta(topic, "quote"), { topic, kind: "quote", seq: 1, snapshot: true, time: "1", bid: "1.00" },
    { topic, kind: "novelty", adv: 2, time: "2" });
  assert.equal(views.problems, 0);
  assert.equal(views.get(topic).sequence, 3);
});

test("checks are worked out like the server does", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  const scale = { price_exponent: -2, size_exponent: -3 };
  // CRC-32 over four little-endian i64: 9999, 1000, "missing", 2000.
  const quote = { bid: "99.99", bid_size: "1", ask: null, ask_size: "2" };
  const bytes = new Uint8Array(new BigInt64Array([9999n, 1000n, -(2n ** 63n), 2000n]).buffer);
  assert.equal(quoteHash(quote, scale), crc32(bytes));
  const book = bookHash([{ units: 1n, size: "0.002" }], [], scale);
  assert.equal(book, crc32(Uint8Array.from([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
  assert.equal(sequenceHash(258), crc32(Uint8Array.from([2, 1, 0, 0, 0, 0, 0, 0])));

  const views = new Views();
  const topic = "quote/sim:A";
  feed(views, meta(topic, "quote"), { topic, kind: "quote", seq: 1, snapshot: true, time: "1", ...quote },
    { topic, kind: "check", hash: quoteHash(quote, scale) });
  assert.deepEqual([views.checked, views.mismatches, views.get(topic).isExact], [1, 0, true]);
  feed(views, { topic, kind: "check", hash: 1 });
  assert.deepEqual([views.checked, views.mismatches, views.get(topic).isExact], [2, 1, false]);
});

test("a view that fails a check is empty until its snapshot came", () => {
  const views = new Views();
  const topic = "quote/sim:A";
  const wrong = { topic, kind: "check", hash: 1 };
  feed(views, meta(topic, "quote"), { topic, kind: "quote", seq: 10, snapshot: true, time: "1", bid: "1.00" }, wrong);
  const view = views.get(topic);
  assert.deepEqual([view.heal, view.sequence, view.quote.bid, view.isExact], ["wanted", null, null, false]);
  view.heal = "asked";
  feed(views, { topic, kind: "quote", adv: 1, time: "2", bid: "2.00" }, wrong);
  assert.deepEqual([view.heal, view.quote.bid, views.withheld, views.problems, views.mismatches], ["asked", null, 2, 0, 1]);
  view.heal = "refused";
  feed(views, wrong, { topic, kind: "state", feed: "stale", trading: "open", cause: "silence", since: null });
  assert.deepEqual([view.heal, view.state.feed], ["wanted", "stale"]);
  feed(views, { topic, kind: "quote", seq: 12, snapshot: true, time: "3", bid: "3.00" }, { topic, kind: "quote", adv: 1, time: "4", ask: "4.00" });
  assert.deepEqual([view.heal, view.sequence, view.quote.bid, view.quote.ask, views.healed], [null, 13, "3.00", "4.00", 1]);
});

test("trades are shown while their place is healed", () => {
  const views = new Views();
  const topic = "trade/sim:A";
  const trade = { topic, kind: "trade", adv: 1, time: "1", price: "1.00", size: "1", aggressor: "buy", trade_id: null };
  feed(views, meta(topic, "trade"), { topic, kind: "tape", seq: 10, snapshot: true, time: "0" }, { topic, kind: "check", hash: 1 }, trade);
  const view = views.get(topic);
  assert.deepEqual([view.heal, view.tape.length], ["wanted", 1]);
  feed(views, { ...trade, adv: undefined, seq: 20, snapshot: true });
  assert.deepEqual([view.heal, view.sequence], [null, 20]);
});

test("one frame a picture, none for a hidden page, few ahead", () => {
  const paint = new Paint();
  paint.opened({ grants_per_second: 0 });
  for (let picture = 0; picture < 100; picture += 1) {
    assert.equal(paint.onPicture(picture * 16, true), 1);
    paint.onFrame();
  }
  // A quiet market uses none of them up.
  const granted = Array.from({ length: 100 }, (_, picture) => paint.onPicture(2_000 + picture * 16, true));
  assert.equal(granted.reduce((sum, frames) => sum + frames), AHEAD);
  for (let picture = 0; picture < 100; picture += 1) {
    paint.onFrame();
    assert.equal(paint.onPicture(4_000 + picture * 16, false), 0);
  }
  assert.equal(paint.onPicture(60_000, true), 1, "at once when it is visible again");
});

test("grants keep within the limit of commands", () => {
  assert.equal(grantSpacingMs({ commands_per_second: 5 }), 400);
  assert.equal(grantSpacingMs({ commands_per_second: 5, grants_per_second: 100 }), 10);
  assert.equal(grantSpacingMs({ commands_per_second: 0 }), 0);
  const paint = new Paint();
  paint.opened({ commands_per_second: 5 });
  let commands = 0;
  let frames = 0;
  for (let now = 0; now < 10_000; now += 16) {
    const granted = paint.onPicture(now, true);
    commands += granted > 0 ? 1 : 0;
    frames += granted;
    for (let used = 0; used < granted; used += 1) paint.onFrame();
  }
  assert.ok(commands <= 25 && frames > 150, `${commands} commands, ${frames} frames`);
  // A refused grant must not be waited for.
  assert.ok(paint.onPicture(20_000, true) > 0);
  paint.onRefused(20_000);
  assert.equal(paint.onPicture(20_500, true), 0);
  assert.ok(paint.onPicture(22_500, true) > 0);
});

test("what slows the page and what is old is told in words", () => {
  assert.equal(slowedText(null), "");
  assert.equal(slowedText({ floor: "realtime" }), "");
  const slow = { floor: "250ms", cause: "own_link", stalled_ms: 1200 };
  assert.equal(slowedText(slow), "slowed: your link, 250ms");
  assert.match(slowedTitle(slow), /^No update is faster than 250ms; one frame took 1200 ms\./);
  assert.equal(slowedText({ floor: "realtime", cause: "node_pressure", deep_snapshots_deferred: true }), "full books wait: the server is busy");
  assert.equal(slowedText({ floor: "1s", cause: "solar_wind" }), "slowed: solar wind, 1s");
  const ages = new Ages();
  const old = { topic: "quote/sim:A", topic_id: 7, age_ms: 6_000, cause: "down" };
  assert.deepEqual(ages.apply({ type: "aged", old: [old] }, 1_700_000_000_000), ["quote/sim:A"]);
  assert.match(ages.title("quote/sim:A"), /^No news since \d\d:\d\d:\d\d: the feed is down$/);
  assert.equal(ages.title("quote/sim:B"), "");
  assert.deepEqual(ages.apply({ type: "aged", young: [7, 8] }, 1_700_000_001_000), ["quote/sim:A"]);
  assert.equal(ages.title("quote/sim:A"), "");
});

/** Kinds that this page does not check, because it does not show them. */
const UNCHECKED = ["status", "instrument", "bar", "stats"];

const golden = new URL("../wire/golden/", import.meta.url);
for (const file of readdirSync(golden).filter((name) => name.endsWith(".json"))) {
  test(`golden vectors: ${file}`, () => {
    const { frames, view: expected } = JSON.parse(readFileSync(new URL(file, golden), "utf8"));
    const views = new Views();
    for (const { json } of frames) if (json) views.apply(json);
    assert.deepEqual([views.problems, views.mismatches], [0, 0]);
    const view = views.get(expected.topic);
    assert.equal(view.sequence, expected.sequence);
    if (!UNCHECKED.includes(view.kind)) assert.equal(view.hash(), expected.hash);
  });
}

test("names, filters and limits", () => {
  assert.deepEqual(nameParts("book/sim:S001-USD/10"), { venue: "sim", symbol: "S001-USD" });
  const names = ["quote/sim:B-USD", "quote/sim:A-USD", "quote/binance:A-USDT"];
  assert.deepEqual(rowsFor(names, "", 2), { rows: ["quote/binance:A-USDT", "quote/sim:A-USD"], matching: 3 });
  assert.deepEqual(rowsFor(names, "sim a-", 9), { rows: ["quote/sim:A-USD"], matching: 1 });
  assert.deepEqual(rowsFor(names, "zzz", 9), { rows: [], matching: 0 });
});

test("how far a number can be trusted", () => {
  const at = (feedState, isStale = false) => trust({ state: feedState && { feed: feedState }, isStale });
  assert.deepEqual(at("live"), { word: "live", level: "good" });
  assert.deepEqual(at("live", true), { word: "live", level: "fair" });
  assert.deepEqual(at("down"), { word: "down", level: "bad" });
  assert.deepEqual(at("novelty"), { word: "novelty", level: "fair" });
  assert.deepEqual(at(null), { word: "starting", level: "fair" });
});

test("the connection's state", () => {
  const state = (more) => connectionState({ isOpen: true, now: 100_000, lastHeard: 99_000, lastData: 99_000, ...more });
  assert.equal(state({}), "live");
  assert.equal(state({ lastData: 90_000 }), "quiet");
  assert.equal(state({ lastHeard: 80_000, lastData: 80_000 }), "stale");
  assert.equal(state({ isOpen: false }), "down");
  assert.equal(latencyMs("1700000000000250000", 1700000000001.75), 1.5);
  assert.equal(median([5, 1, 9]), 5);
  assert.equal(median([]), null);
});

test("pauses grow, spread and end", () => {
  assert.equal(pauseMs(0, 0), 250);
  assert.equal(pauseMs(0, 1), 500);
  assert.equal(pauseMs(3, 1), 4000);
  assert.equal(pauseMs(50, 1), 15000);
});
