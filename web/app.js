// In: the server's frames over `wss`. Out: the dashboard. One drawing per screen refresh, whatever the tick rate.
// Bounded: `MAX_ROWS` rows of quotes, one book and one tape at a time.

import { Link } from "./link.js";
import { Paint } from "./paint.js";
import { drawBook, drawTape, QuoteTable } from "./panels.js";
import { Ages, slowedText, slowedTitle } from "./quality.js";
import { Views, connectionState, latencyMs, median, nameParts } from "./view.js";

/** A row costs the browser far more than the server; a filter finds the others. */
const MAX_ROWS = 150;
/** Moving through the rows with the arrow keys must not become a subscription for each row passed. */
const SETTLE_MS = 200;
const RETRY_MS = 1_000;
/** Older values are greyed. */
const MAX_AGE = "5s";
const LATENCY_SAMPLES = 60;

const byId = (id) => document.getElementById(id);
const views = new Views();
const ages = new Ages();
const paint = new Paint();
const table = new QuoteTable({ body: byId("quotes"), limit: MAX_ROWS, onSelect: select });
const state = {
  selected: null,
  subscribed: [],
  settle: null,
  quotesChanged: true,
  lastData: 0,
  latencies: [],
  before: { updates: 0, at: performance.now() },
  problem: "",
  matched: null,
  qos: null,
  /** Requests for snapshots of views that failed a check: id -> names. */
  heals: new Map(),
  phase: { phase: "connecting" },
};

const link = new Link(`wss://${location.host}/v1/stream`, "/v1/sse", {
  opened: () => {
    views.clear();
    ages.clear();
    paint.closed();
    state.heals.clear();
    state.qos = null;
    state.subscribed = [];
    state.problem = "";
    state.matched = null;
    subscribe(["quote/*:*"], "visible");
    if (state.selected) followSelected();
    state.quotesChanged = true;
    draw();
  },
  frame: onFrame,
  reply: onReply,
  state: onPhase,
});

function onFrame(frame) {
  state.lastData = Date.now();
  paint.onFrame();
  const samples = state.latencies;
  samples.push(latencyMs(frame.sent, performance.timeOrigin + performance.now()));
  if (samples.length > LATENCY_SAMPLES) samples.shift();
  for (const view of views.apply(frame)) {
    if (view.kind === "quote") {
      table.mark(view);
    }
  }
  heal();
  draw();
}

function onReply(reply) {
  if (reply.type === "hello") paint.opened(reply.limits);
  else if (reply.type === "ack") onAck(reply);
  else if (reply.type === "qos") state.qos = reply;
  else if (reply.type === "aged") ages.apply(reply, Date.now()).forEach((name) => table.markName(name));
  else if (reply.type === "notice") state.problem = reply.message;
  else if (reply.type === "error") onError(reply);
  draw();
}

function onAck({ id, results }) {
  const refused = results.filter((result) => result.status === "refused");
  for (const result of results) {
    if (result.status === "pattern") state.matched = result.matched;
  }
  if (state.heals.has(id)) {
    notHealed(state.heals.get(id).filter((name) => refused.some((result) => result.topic === name)));
    state.heals.delete(id);
    return;
  }
  if (refused.length > 0) state.problem = refused.map((result) => `${result.topic}: ${result.message}`).join(" · ");
}

function onError(reply) {
  if (state.heals.has(reply.id)) {
    notHealed(state.heals.get(reply.id));
    state.heals.delete(reply.id);
    return;
  }
  if (reply.id === undefined) {
    // Only grants go without a number.
    paint.onRefused(performance.now());
    return;
  }
  if (reply.code === "rate_limited") {
    setTimeout(followSelected, RETRY_MS);
    return;
  }
  state.problem = reply.message;
}

function onPhase(phase) {
  state.phase = phase;
  if (phase.phase !== "open") state.latencies = [];
  draw();
}

function subscribe(topics, focus) {
  return link.send({ type: "sub", topics, pace: byId("pace").value, max_age: MAX_AGE, focus });
}

/** One frame for each picture, at the pace "credit"; none while nobody looks. */
function grant() {
  if (!link.isOpen || byId("pace").value !== "credit") return;
  const frames = paint.onPicture(performance.now(), document.visibilityState === "visible");
  if (frames > 0) link.post({ type: "grant", frames });
}

function everyPicture() {
  grant();
  requestAnimationFrame(everyPicture);
}

/** Shows book and tape of another symbol. */
function select(topic) {
  if (state.selected === topic) return;
  state.selected = topic;
  table.showSelected(topic);
  clearTimeout(state.settle);
  state.settle = setTimeout(followSelected, SETTLE_MS);
  showTries();
  draw();
}

function followSelected() {
  const wanted = wantedTopics();
  if (wanted.join() === state.subscribed.join()) return;
  if (state.subscribed.length > 0) {
    link.send({ type: "unsub", topics: state.subscribed });
    for (const topic of state.subscribed) {
      views.forget(topic);
      ages.forget(topic);
    }
  }
  state.subscribed = subscribe(wanted, "focused") ? wanted : [];
}

function wantedTopics() {
  if (!state.selected) return [];
  const { venue, symbol } = nameParts(state.selected);
  return [`book/${venue}:${symbol}/10`, `trade/${venue}:${symbol}`];
}

/** Where the page and the server disagree, the view is empty by now: ask for a snapshot, once. */
function heal() {
  const wanted = [...views.byName.values()].filter((view) => view.heal === "wanted");
  if (wanted.length === 0) return;
  const names = wanted.map((view) => view.name);
  const id = link.send({ type: "get", topics: names, heal: true });
  if (id === false) return;
  state.heals.set(id, names);
  for (const view of wanted) view.heal = "asked";
}

/** The next check asks again. */
function notHealed(names) {
  for (const name of names) {
    const view = views.get(name);
    if (view?.heal === "asked") view.heal = "refused";
  }
}

let isDrawing = false;
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    table.draw(views, ages, byId("filter").value);
    if (!state.selected) table.selectFirst();
    drawQuotesNote();
    const [bookName, tapeName] = wantedTopics();
    drawBook(views.get(bookName), state.selected, ages.title(bookName));
    drawTape(views.get(tapeName), state.selected, ages.title(tapeName));
    drawConnection();
    drawSlowed();
    drawMessage();
  });
}

function drawQuotesNote() {
  const { shown, matching, total } = table.counts;
  byId("quotes-note").textContent = total === 0 ? "" : shown === matching ? `${shown} of ${total}` : `first ${shown} of ${matching}; filter for more`;
  byId("quotes-empty").hidden = shown > 0;
  byId("quotes-empty").textContent = emptyText(total);
}

function emptyText(total) {
  if (state.phase.phase !== "open") return "Not connected.";
  if (total > 0) return "No symbol matches the filter.";
  if (state.matched === 0) return "No instruments yet: the server is waiting for its feeds. They will appear here by themselves.";
  return "Waiting for the first quotes…";
}

function drawConnection() {
  const { phase, until } = state.phase;
  const now = Date.now();
  const isOpen = phase === "open";
  const word = phase === "connecting" ? "connecting" : connectionState({ isOpen, now, lastHeard: link.lastHeard, lastData: state.lastData });
  setText("connection-text", word);
  setText("countdown", phase === "waiting" ? `again in ${Math.max(0, Math.ceil((until - now) / 1000))} s` : "");
  byId("connection").dataset.state = word;
  const middle = median(state.latencies);
  setText("latency", middle === null || !isOpen ? "–" : middle < 0 ? "clocks differ" : `${middle.toFixed(middle < 10 ? 1 : 0)} ms`);
  setText("checks", views.mismatches > 0 ? `${views.mismatches} wrong` : views.checked > 0 ? `${compact(views.checked)} ok` : "–");
  byId("checks").classList.toggle("bad", views.mismatches > 0);
  setText("merged", compact(views.merged));
}

function drawSlowed() {
  const text = state.phase.phase === "open" ? slowedText(state.qos) : "";
  byId("slowed").hidden = !text;
  setText("slowed", text);
  byId("slowed").title = slowedTitle(state.qos);
}

function drawMessage() {
  const { phase, reason, code } = state.phase;
  const isRefused = phase === "refused";
  const needsToken = isRefused && [401, 4500, 4504].includes(code);
  const asks = needsToken && code === 401 && !link.token;
  const text = asks ? "This server wants an access token." : isRefused ? `Not connected: ${reason}.` : phase === "waiting" ? `Connection lost: ${reason}. Prices below are old.` : state.problem;
  byId("message").hidden = !text;
  setText("message-text", text);
  byId("token-form").hidden = !needsToken;
  byId("again").hidden = !(isRefused && !needsToken) && phase !== "waiting";
  document.body.classList.toggle("offline", phase !== "open");
}

/** Only real changes touch the document: a screen reader would read out the rest. */
function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function compact(number) {
  return Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);
}

function showTries() {
  const host = location.host;
  // On one's own machine the certificate is self-signed as a rule; elsewhere it has to be checked.
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/.test(host);
  const topic = state.selected ?? "quote/sim:BTC-USD";
  setText("try-curl", `curl -N${isLocal ? "k" : ""} 'https://${host}/v1/sse?sub=${topic}&pace=1s'`);
  setText(
    "try-python",
    [
      ...(isLocal ? ["import ssl"] : []),
      "from websockets.sync.client import connect",
      `url = "wss://${host}/v1/stream?sub=${topic}"`,
      `with connect(url${isLocal ? ", ssl=ssl._create_unverified_context()" : ""}) as stream:`,
      "    for frame in stream: print(frame)",
    ].join("\n"),
  );
  setText("try-watch", `tickwire watch --url wss://${host}${isLocal ? " --insecure" : ""} ${topic}`);
}

function everySecond() {
  const now = performance.now();
  const perSecond = ((views.updates - state.before.updates) * 1000) / (now - state.before.at);
  state.before = { updates: views.updates, at: now };
  setText("rate", state.phase.phase === "open" ? compact(Math.round(perSecond)) : "–");
  draw();
}

byId("filter").addEventListener("input", () => {
  table.refilter();
  draw();
});
byId("pace").addEventListener("change", () => {
  // A second subscription to the same topic changes the pace of the first.
  subscribe(["quote/*:*"], "visible");
  if (state.subscribed.length > 0) subscribe(state.subscribed, "focused");
});
byId("again").addEventListener("click", () => link.restart());
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  link.token = byId("token").value.trim();
  byId("token").value = "";
  link.restart();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
// A browser calls for no pictures of a hidden page; the first one after it does not wait.
document.addEventListener("visibilitychange", grant);
setInterval(everySecond, 1000);
requestAnimationFrame(everyPicture);
showTries();
link.connect();
