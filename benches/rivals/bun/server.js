// A rival: Bun's WebSocket server (uWebSockets). In: port, folder of the certificate, updates a second, topics, 'publish' or 'batch'. Out: quotes
// of 48 bytes: published one by one, or all that a client wants of the last millisecond in one message, put together by hand.

const [port, folder, rateText, countText, mode] = process.argv.slice(2);
const rate = Number(rateText), count = Number(countText);
const QUOTE = 48;

const clients = new Set();
const server = Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  tls: { cert: Bun.file(`${folder}/certificate.pem`), key: Bun.file(`${folder}/key.pem`) },
  fetch: (request, server) => (server.upgrade(request, { data: {} }) ? undefined : new Response("no", { status: 400 })),
  websocket: {
    perMessageDeflate: false,
    // A client that hangs behind by more loses messages, and sees it by the sequence.
    backpressureLimit: 16 << 20,
    message(client, text) {
      const topics = text.split(",").map(Number);
      client.send("ok");
      if (mode === "batch") {
        client.data.topics = Uint32Array.from(topics);
        client.data.wants = new Uint8Array(count);
        topics.forEach((topic) => (client.data.wants[topic] = 1));
        clients.add(client);
      } else {
        topics.forEach((topic) => client.subscribe(`${topic}`));
      }
    },
    close: (client) => clients.delete(client),
  },
});

// The source: each topic in turn, as many as are due, each millisecond.
const begin = performance.now();
const names = Array.from({ length: count }, (_, topic) => `${topic}`);
const beginWall = performance.timeOrigin + begin;
let made = 0;

function put(view, at, number) {
  const topic = number % count;
  const sequence = BigInt(Math.floor(number / count) + 1);
  const dueMs = beginWall + ((number + 1) * 1000) / rate;
  view.setUint32(at, topic, true);
  view.setUint32(at + 4, 7, true);
  view.setBigUint64(at + 8, sequence, true);
  // Milliseconds with a fraction do not fit a double as nanoseconds.
  const whole = Math.floor(dueMs);
  view.setBigUint64(at + 16, BigInt(whole) * 1_000_000n + BigInt(Math.floor((dueMs - whole) * 1e6)), true);
  view.setBigInt64(at + 24, 1_000_000n + sequence, true);
  view.setBigInt64(at + 32, 1_000_001n + sequence, true);
  view.setUint32(at + 40, 9, true);
  return topic;
}

const due = () => Math.floor(((performance.now() - begin) * rate) / 1000);

function publish() {
  for (const end = due(); made < end; made++) {
    const quote = new Uint8Array(QUOTE);
    const topic = put(new DataView(quote.buffer), 0, made);
    server.publish(names[topic], quote);
  }
}

// All quotes of this millisecond, topic by topic, so that a client's part is few copies.
let pending = new Uint8Array(QUOTE * 1024);
let message = new Uint8Array(QUOTE * 1024);
const starts = new Uint32Array(count + 1);
const most = Math.floor((16 << 20) / QUOTE);

function batch() {
  const end = Math.min(due(), made + most);
  const total = end - made;
  if (total <= 0) return;
  if (pending.length < total * QUOTE) {
    pending = new Uint8Array(total * QUOTE * 2);
    message = new Uint8Array(total * QUOTE * 2);
  }
  const view = new DataView(pending.buffer);
  // They come in turn, so each topic has the same number, give or take one.
  let at = 0;
  const changed = [];
  for (let topic = 0; topic < count; topic++) {
    starts[topic] = at;
    for (let number = made + ((topic - (made % count) + count) % count); number < end; number += count) {
      put(view, at, number);
      at += QUOTE;
    }
    if (at > starts[topic]) changed.push(topic);
  }
  starts[count] = at;
  made = end;
  for (const client of clients) {
    const { topics, wants } = client.data;
    // Whichever is shorter: what the client wants, or what there is.
    const looked = topics.length <= changed.length ? topics : changed;
    let length = 0;
    for (let i = 0; i < looked.length; i++) {
      const from = starts[looked[i]], to = starts[looked[i] + 1];
      if (from === to || !wants[looked[i]]) continue;
      message.set(pending.subarray(from, to), length);
      length += to - from;
    }
    if (length > 0) client.send(message.subarray(0, length));
  }
}

setInterval(mode === "batch" ? batch : publish, 1);
console.log("ready");
