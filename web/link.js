// In: an address. Out: frames, replies and states of a connection that comes back by itself.
// Bounded: one socket, one timer; pauses grow to `LONGEST_PAUSE`; it stays away where the server says so.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const PING_EVERY = 10_000;
/** Close codes from here on mean: not again without a change. */
const DO_NOT_RETURN = 4500;

/** Pause before attempt number `attempt` (0, 1, …): doubled each time, and a random part of it, so that clients spread. */
export function pauseMs(attempt, random = Math.random()) {
  const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
  return Math.round(longest / 2 + (random * longest) / 2);
}

export class Link {
  /** `on` has the functions opened, frame, reply and state. */
  constructor(url, probeUrl, on) {
    this.url = url;
    this.probeUrl = probeUrl;
    this.on = on;
    this.token = null;
    this.socket = null;
    this.attempt = 0;
    this.timer = null;
    this.pinger = null;
    this.lastHeard = 0;
    this.reconnectIn = null;
    this.nextId = 1;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.timer);
    this.on.state({ phase: "connecting" });
    const protocols = ["tickwire.v1.json"];
    if (this.token) protocols.push(`bearer.${this.token}`);
    let wasOpen = false;
    const socket = new WebSocket(this.url, protocols);
    this.socket = socket;
    socket.onopen = () => {
      wasOpen = true;
      this.lastHeard = Date.now();
      this.pinger = setInterval(() => this.#watch(), PING_EVERY);
      this.on.state({ phase: "open" });
      this.on.opened();
    };
    socket.onmessage = (event) => {
      this.lastHeard = Date.now();
      this.#read(event.data);
    };
    socket.onclose = (event) => {
      clearInterval(this.pinger);
      if (this.socket !== socket) return;
      this.socket = null;
      if (wasOpen) this.#ended(event);
      else this.#neverOpened();
    };
  }

  /** Sends a request; its answer carries the id this gives back. False if there is no connection. */
  send(request) {
    if (!this.isOpen) return false;
    const id = this.nextId;
    this.nextId += 1;
    this.socket.send(JSON.stringify({ ...request, id }));
    return id;
  }

  /** Sends something that needs no answer. */
  post(request) {
    if (this.isOpen) this.socket.send(JSON.stringify(request));
  }

  /** Begins again at once, e.g. with another token. */
  restart() {
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.attempt = 0;
    this.connect();
  }

  #read(text) {
    const message = JSON.parse(text);
    if (message.data) {
      // Only data proves that the connection is good for something; a server that closes at once must not reset the pause.
      this.attempt = 0;
      this.on.frame(message);
      return;
    }
    if (message.type === "notice" && message.reconnect_in_ms !== undefined) this.reconnectIn = message.reconnect_in_ms;
    this.on.reply(message);
  }

  /** Browsers hide the pings of the protocol, so the page asks itself whether somebody is there. */
  #watch() {
    if (Date.now() - this.lastHeard > 2 * PING_EVERY + 5_000) this.restart();
    else this.send({ type: "ping" });
  }

  #ended(event) {
    const reason = event.reason || (event.code === 1006 ? "the connection broke" : `closed with code ${event.code}`);
    if (event.code >= DO_NOT_RETURN && event.code < 5000) {
      this.on.state({ phase: "refused", code: event.code, reason });
      return;
    }
    const pause = this.reconnectIn ?? pauseMs(this.attempt);
    this.reconnectIn = null;
    this.#comeBack(pause, reason);
  }

  /** A browser does not tell why an upgrade failed; an ordinary request to the same gate does. */
  async #neverOpened() {
    let reason = "the server does not answer";
    try {
      const answer = await fetch(this.probeUrl, { headers: this.token ? { authorization: `Bearer ${this.token}` } : {} });
      const line = (await answer.text()).trim();
      if (answer.status === 401 || answer.status === 403) {
        this.on.state({ phase: "refused", code: answer.status, reason: line });
        return;
      }
      if (answer.status === 503) reason = line;
    } catch {
      // Not even that: the server is away.
    }
    this.#comeBack(pauseMs(this.attempt), reason);
  }

  #comeBack(pause, reason) {
    this.attempt += 1;
    this.on.state({ phase: "waiting", pause, until: Date.now() + pause, reason });
    this.timer = setTimeout(() => this.connect(), pause);
  }
}
