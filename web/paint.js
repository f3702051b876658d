// In: animation frames, data frames that came, the server's limits. Out: how many frames to grant it now (pace "credit").
// Bounded: at most `AHEAD` frames granted and not used, so that a quiet market saves nothing up and a hidden page soon costs nothing.

/** Frames that may be on their way: at 60 pictures a second, a round trip of 130 ms. */
export const AHEAD = 8;
/** Where grants count as commands, they may take this part of them. */
const SHARE_OF_COMMANDS = 0.5;
const PAUSE_AFTER_REFUSAL_MS = 2_000;

/** Milliseconds from one grant to the next, so that other requests still find room. */
export function grantSpacingMs(limits = {}) {
  if (limits.grants_per_second !== undefined) return limits.grants_per_second === 0 ? 0 : 1000 / limits.grants_per_second;
  return limits.commands_per_second ? 1000 / (limits.commands_per_second * SHARE_OF_COMMANDS) : 0;
}

export class Paint {
  constructor() {
    this.opened({});
    this.closed();
  }

  /** Nothing to grant until `opened`. */
  closed() {
    this.next = Infinity;
  }

  /** A connection begins, without any credit; `limits` of its `hello`. */
  opened(limits) {
    this.spacing = grantSpacingMs(limits);
    this.outstanding = 0;
    this.owed = 0;
    this.next = 0;
  }

  /** A picture is about to be drawn, at `now` in ms: one more frame for it. Nobody sees a hidden page, so nothing for that. */
  onPicture(now, isVisible) {
    if (!isVisible) {
      this.owed = 0;
      return 0;
    }
    this.owed = Math.min(this.owed + 1, AHEAD);
    if (now < this.next) return 0;
    const frames = Math.min(this.owed, AHEAD - this.outstanding);
    if (frames <= 0) return 0;
    this.outstanding += frames;
    this.owed = 0;
    this.next = now + this.spacing;
    return frames;
  }

  /** A frame with data came. */
  onFrame() {
    this.outstanding = Math.max(0, this.outstanding - 1);
  }

  /** The server did not take a grant: what was granted is unknown, so it counts as used. */
  onRefused(now) {
    this.outstanding = 0;
    this.next = now + PAUSE_AFTER_REFUSAL_MS;
  }
}
