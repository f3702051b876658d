"""`python3 -m tickwire wss://HOST:PORT TOPIC...`: follows topics for some seconds, prints what was seen, fails if anything was wrong."""

import argparse
import asyncio
import json
import sys

from .decimals import plain
from .live import Refused, follow, tls


def main():
    parser = argparse.ArgumentParser(prog="python3 -m tickwire", description="Follow topics and verify everything that can be verified.")
    parser.add_argument("url", help="wss://HOST:PORT")
    parser.add_argument("topics", nargs="+", metavar="TOPIC")
    parser.add_argument("--encoding", choices=("binary", "json"), default="binary")
    parser.add_argument("--pace", default="realtime")
    parser.add_argument("--trades", choices=("every", "summary"), default="every")
    parser.add_argument("--fps", type=int, metavar="N", help="with --pace credit: grant so many frames a second")
    parser.add_argument("--since", type=int, metavar="N", help="begin trades with the last N")
    parser.add_argument("--max-age", metavar="TIME", help="tell when data is older than this, such as 2s, and why")
    parser.add_argument("--focus", choices=("focused", "visible", "background"))
    parser.add_argument("--trade-safe", action="store_true", help="a quote goes before a trade of its instrument")
    parser.add_argument("--for", dest="seconds", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--insecure", action="store_true", help="believe any certificate: for demos")
    parser.add_argument("--ca", metavar="FILE", help="PEM file with the authority or the server's own certificate")
    parser.add_argument("--token")
    parser.add_argument("--resume", action="store_true", help="half-way, disconnect and resume")
    parser.add_argument("--ticket", action="store_true", help="half-way, disconnect and take up a ticket")
    asked = parser.parse_args()
    if (asked.pace == "credit") != bool(asked.fps):
        parser.error("--pace credit and --fps N go together: the server waits for grants")
    context = tls(asked.insecure, asked.ca)
    options = {"pace": asked.pace, "trades": asked.trades, "since": asked.since, "max_age": asked.max_age, "focus": asked.focus}
    options = {key: value for key, value in options.items() if value is not None}
    if asked.trade_safe:
        options["trade_safe"] = True
    parts, tracker, received = (2 if asked.resume or asked.ticket else 1), None, 0
    tickets = [] if asked.ticket else None
    try:
        for _ in range(parts):
            how = {"fps": asked.fps, "on_control": told, "tickets": tickets, **options}
            following = follow(asked.url, asked.topics, asked.seconds / parts, asked.encoding, context, asked.token, tracker, **how)
            tracker, part = asyncio.run(following)
            received += part
    except Refused as refused:
        sys.exit(f"refused: {refused}")
    for topic in tracker.topics.values():
        print(topic.meta.name, topic.sequence, (topic.state or {}).get("feed", "-"), shown(topic))
    print(json.dumps({"bytes": received, **tracker.counts}))
    for error in tracker.errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(1 if tracker.errors else 0)


def told(message):
    """What slows the session and what is old, on stderr."""
    if message.get("type") in ("qos", "aged"):
        print(json.dumps(message), file=sys.stderr)


def shown(topic):
    """The best prices or the newest value, as text."""
    meta, view = topic.meta, topic.view
    if meta.kind == "quote":
        return " / ".join(plain(view.fields[name], meta.price_exponent) for name in ("bid", "ask"))
    if meta.kind == "book":
        best = (view.levels(side, 1) for side in ("bids", "asks"))
        return " / ".join(plain(level[0][0] if level else None, meta.price_exponent) for level in best)
    if meta.kind == "trade" and view.last:
        return f"{plain(view.last.get('price', view.last.get('last')), meta.price_exponent)} ({view.count} trades)"
    return ""


if __name__ == "__main__":
    main()
