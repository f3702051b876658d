// In: views. Out: rows of the three tables, changed in place. Called once per screen refresh.
// Bounded by the limits of the callers; a row that did not change is not touched.

import { compare, mantissa, plain, show } from "./decimal.js";
import { nameParts, rowsFor, trust } from "./view.js";

const byId = (id) => document.getElementById(id);

/** The list of quotes. Rows are made once and updated cell by cell. */
export class QuoteTable {
  constructor({ body, limit, onSelect }) {
    this.body = body;
    this.limit = limit;
    this.onSelect = onSelect;
    this.rows = new Map();
    this.changed = new Set();
    this.isOrdered = false;
    this.selected = null;
    this.knownTopics = 0;
    this.counts = { shown: 0, matching: 0, total: 0 };
    body.addEventListener("click", (event) => this.#choose(event.target.closest("tr")));
    body.addEventListener("keydown", (event) => this.#onKey(event));
  }

  mark(view) {
    this.changed.add(view.name);
  }

  markName(name) {
    this.changed.add(name);
  }

  refilter() {
    this.isOrdered = false;
  }

  selectFirst() {
    const rows = [...this.rows.keys()];
    const first = rows.find((name) => nameParts(name).symbol.startsWith("BTC-")) ?? this.body.firstElementChild?.dataset.topic;
    if (first) this.onSelect(first);
  }

  showSelected(topic) {
    this.selected = topic;
    for (const [name, row] of this.rows) this.#markSelected(row, name === topic);
  }

  draw(views, ages, filter) {
    const names = [...views.byName.keys()].filter((name) => name.startsWith("quote/"));
    if (!this.isOrdered || names.length !== this.knownTopics) this.#order(views, ages, names, filter);
    for (const name of this.changed) {
      const row = this.rows.get(name);
      const view = views.get(name);
      if (row && view) drawQuote(row, view, ages.title(name));
    }
    this.changed.clear();
  }

  #order(views, ages, names, filter) {
    const { rows, matching } = rowsFor(names, filter, this.limit);
    const wanted = new Set(rows);
    for (const [name, row] of this.rows) {
      if (wanted.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    for (const name of rows) {
      if (!this.rows.has(name)) {
        const row = quoteRow(name);
        this.#markSelected(row, name === this.selected);
        this.rows.set(name, row);
        drawQuote(row, views.get(name), ages.title(name));
      }
      this.body.append(this.rows.get(name));
    }
    this.isOrdered = true;
    this.knownTopics = names.length;
    this.counts = { shown: rows.length, matching, total: names.length };
    this.#keepReachable();
  }

  /** One row at a time is in the tab order; the arrow keys move between rows. */
  #keepReachable() {
    if (!this.body.querySelector('tr[tabindex="0"]')) this.body.querySelector("tr")?.setAttribute("tabindex", "0");
  }

  #markSelected(row, isSelected) {
    row.setAttribute("aria-selected", String(isSelected));
    row.tabIndex = isSelected ? 0 : -1;
  }

  #choose(row) {
    if (row) this.onSelect(row.dataset.topic);
  }

  #onKey(event) {
    const row = event.target.closest("tr");
    const target = {
      ArrowDown: row?.nextElementSibling,
      ArrowUp: row?.previousElementSibling,
      Home: this.body.firstElementChild,
      End: this.body.lastElementChild,
      Enter: row,
      " ": row,
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target.focus();
    this.#choose(target);
  }
}

function quoteRow(topic) {
  const { venue, symbol } = nameParts(topic);
  const row = document.createElement("tr");
  row.dataset.topic = topic;
  const name = cell(row, "");
  name.append(span("symbol", symbol), span("venue", venue));
  for (const kind of ["number size wide", "number", "number", "number size wide", "number time wider"]) cell(row, kind);
  const feed = cell(row, "");
  const badge = span("feed", "");
  badge.append(span("dot", ""), span("word", ""));
  feed.append(badge);
  return row;
}

/** `old`: since when and why the quote is too old; empty if it is not. */
function drawQuote(row, view, old) {
  const [, bidSize, bid, ask, askSize, updated, feed] = row.cells;
  const { quote } = view;
  setText(bidSize, spell(quote.bid_size, view.sizeDigits));
  setText(askSize, spell(quote.ask_size, view.sizeDigits));
  drawPrice(bid, quote.bid, view.priceDigits);
  drawPrice(ask, quote.ask, view.priceDigits);
  setText(updated, view.time ? clockTime(view.time) : "–");
  const { word, level } = trust(view);
  const badge = feed.firstElementChild;
  badge.dataset.level = level;
  setText(badge.lastElementChild, word);
  row.classList.toggle("old", level === "bad");
  setOld(row, old);
}

/** Greyed, and the reason as a tooltip. */
function setOld(element, old) {
  element.classList.toggle("aged", old !== "");
  if (element.title !== old) element.title = old;
}

/** Text, colour of the last move, and a flash. The two flash classes take turns so that each change starts it anew. */
function drawPrice(element, price, digits) {
  const before = element.dataset.price ?? "";
  const now = price ?? "";
  if (before === now) return;
  element.dataset.price = now;
  setText(element, spell(price, digits));
  const move = before && now ? compare(now, before) : 0;
  if (move === 0) return;
  const flash = element.classList.contains("flash-a") ? "flash-b" : "flash-a";
  element.className = `number ${move > 0 ? "up" : "down"} ${flash}`;
}

/** Asks above, bids below, best in the middle. */
export function drawBook(view, selected, old) {
  const isThere = Boolean(view && view.sequence !== null);
  const title = selected ? nameParts(selected).symbol : "";
  setText(byId("book-title"), title ? `Book ${title}` : "Book");
  byId("book-empty").hidden = isThere;
  document.querySelector(".ladder").hidden = !isThere;
  if (!isThere) {
    setText(byId("book-empty"), selected ? "Waiting for the book…" : "Select a symbol to see its book.");
    setText(byId("book-note"), "");
    return;
  }
  setOld(document.querySelector(".ladder"), old);
  const { word, level } = trust(view);
  const exact = view.isExact === null ? "" : view.isExact ? " · check ok" : " · check failed";
  setText(byId("book-note"), (level === "good" ? "10 levels" : `feed ${word}`) + exact);
  // Widths are the one place where a rounded number does no harm.
  const largest = Math.max(...[...view.bids, ...view.asks].map((entry) => Number.parseFloat(entry.size)), 0);
  drawSide(byId("asks"), view.asks, view, largest, true);
  drawSide(byId("bids"), view.bids, view, largest, false);
  setText(byId("spread"), spreadText(view));
}

function drawSide(body, levels, view, largest, isReversed) {
  while (body.rows.length < levels.length) body.append(levelRow());
  while (body.rows.length > levels.length) body.lastElementChild.remove();
  let total = 0n;
  levels.forEach((entry, at) => {
    total += mantissa(entry.size, view.meta.size_exponent);
    const row = body.rows[isReversed ? levels.length - 1 - at : at];
    const [price, size, sum] = row.cells;
    setText(price.firstElementChild, show(entry.price, view.priceDigits));
    setText(size.firstElementChild, show(entry.size, view.sizeDigits));
    setText(sum.firstElementChild, show(plain(total, view.meta.size_exponent, view.sizeDigits), view.sizeDigits));
    const width = largest > 0 ? (100 * Number.parseFloat(entry.size)) / largest : 0;
    sum.lastElementChild.style.width = `${width.toFixed(1)}%`;
  });
}

function levelRow() {
  const row = document.createElement("tr");
  for (let column = 0; column < 3; column += 1) cell(row, "number").append(span("", ""));
  row.cells[2].append(span("depth", ""));
  return row;
}

function spreadText(view) {
  const [bid] = view.bids;
  const [ask] = view.asks;
  if (!bid || !ask) return "one side is empty";
  return `spread ${show(plain(ask.units - bid.units, view.meta.price_exponent, view.priceDigits), view.priceDigits)}`;
}

export function drawTape(view, selected, old) {
  setText(byId("tape-title"), selected ? `Trades ${nameParts(selected).symbol}` : "Trades");
  const body = byId("tape");
  setOld(body, old);
  const prints = view?.tape ?? [];
  byId("tape-empty").hidden = prints.length > 0;
  setText(byId("tape-empty"), selected ? "No trade yet." : "Select a symbol to see its trades.");
  setText(byId("tape-note"), view && trust(view).level !== "good" ? `feed ${trust(view).word}` : "");
  if (body.shownView === view && body.shownSequence === view?.sequence) return;
  body.shownView = view;
  body.shownSequence = view?.sequence;
  while (body.rows.length < prints.length) body.append(document.createElement("tr"));
  while (body.rows.length > prints.length) body.lastElementChild.remove();
  prints.forEach((print, at) => drawPrint(body.rows[at], print, view));
}

function drawPrint(row, print, view) {
  // Records never change: the row that shows this one already is right.
  if (row.shown === print) return;
  row.shown = print;
  row.replaceChildren();
  if (print.kind === "gap") {
    row.className = "gap";
    const only = cell(row, "");
    only.colSpan = 4;
    only.textContent = `${print.missing === null ? "trades" : `${print.missing} trades`} missing here (${print.cause})`;
    return;
  }
  const isSummary = print.kind === "summary";
  const side = isSummary ? "unknown" : print.aggressor;
  row.className = side;
  cell(row, "").textContent = clockTime(print.time);
  cell(row, "number").textContent = show(isSummary ? print.last : print.price, view.priceDigits);
  cell(row, "number").textContent = show(isSummary ? print.volume : print.size, view.sizeDigits);
  cell(row, "").textContent = isSummary ? `${print.count} trades` : { buy: "▲ buy", sell: "▼ sell" }[side] ?? "–";
}

function cell(row, kind) {
  const element = row.insertCell();
  element.className = kind;
  return element;
}

function span(kind, text) {
  const element = document.createElement("span");
  element.className = kind;
  element.textContent = text;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function spell(text, digits) {
  return text === null ? "–" : show(text, digits);
}

/** Time of day with milliseconds, of nanoseconds since the epoch as text. */
function clockTime(nanoseconds) {
  const time = new Date(Number(BigInt(nanoseconds) / 1000000n));
  const two = (number, width = 2) => String(number).padStart(width, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${two(time.getMilliseconds(), 3)}`;
}
