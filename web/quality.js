// In: `qos` and `aged` messages. Out: what slows this page, in a few words, and which topics are old, since when and why.
// Bounded by the topics subscribed.

const SLOWED_BY = {
  entitlement: "your token",
  own_link: "your link",
  updates_per_second: "its limit of updates",
  bytes_per_second: "its limit of bytes",
  node_pressure: "the server is busy",
};

const OLD_BECAUSE = {
  quiet: "nothing happens at the venue",
  stale: "the feed is silent",
  resyncing: "the feed is being rebuilt",
  down: "the feed is down",
  pace: "newer data waits for the pace",
  paused: "the topic is paused",
  credit: "newer data waits until this page asks for it",
  limit: "newer data waits for a limit",
  own_link: "newer data waits for your link",
};

/** A server newer than this page may know other causes. */
const spell = (words, cause) => words[cause] ?? String(cause).replaceAll("_", " ");

/** Text of the badge; empty: nothing slows this page. */
export function slowedText(qos) {
  if (!qos?.cause) return "";
  const cause = spell(SLOWED_BY, qos.cause);
  return qos.floor === "realtime" ? `full books wait: ${cause}` : `slowed: ${cause}, ${qos.floor}`;
}

export function slowedTitle(qos) {
  if (!qos?.cause) return "";
  const parts = qos.floor === "realtime" ? [] : [`No update is faster than ${qos.floor}`];
  if (qos.stalled_ms) parts.push(`one frame took ${qos.stalled_ms} ms`);
  if (qos.deep_snapshots_deferred) parts.push("snapshots of full books wait");
  return `${parts.join("; ")}. The newest value always comes.`;
}

/** Topics whose data is older than this page allows. */
export class Ages {
  constructor() {
    this.clear();
  }

  clear() {
    this.byId = new Map();
    this.byName = new Map();
  }

  /** Takes an `aged` message that came at `now` (ms); gives the names of the topics it is about. */
  apply(message, now) {
    const names = [];
    for (const id of message.young ?? []) {
      const name = this.byId.get(id);
      this.byId.delete(id);
      if (name !== undefined && this.byName.delete(name)) names.push(name);
    }
    for (const { topic, topic_id, age_ms, cause } of message.old ?? []) {
      this.byId.set(topic_id, topic);
      this.byName.set(topic, { since: now - age_ms, cause });
      names.push(topic);
    }
    return names;
  }

  forget(name) {
    this.byName.delete(name);
  }

  /** Empty while the topic is young. */
  title(name) {
    const old = this.byName.get(name);
    if (!old) return "";
    return `No news since ${new Date(old.since).toLocaleTimeString("en-GB")}: ${spell(OLD_BECAUSE, old.cause)}`;
  }
}
