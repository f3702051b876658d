"""A live connection. In: an address and topics. Out: frames applied to a Tracker until a time is over. Needs the package `websockets`."""

import asyncio
import ssl
import time

from websockets.asyncio.client import connect as open_websocket

from .connection import Connection
from .tracker import Tracker

__all__ = ["Connection", "Refused", "connect", "follow", "tls"]


class Refused(Exception):
    """The server refused what was asked, as a whole or one topic."""


def tls(insecure=False, ca_file=None):
    """A TLS context: the system's authorities, one file's, or none at all (demos only)."""
    context = ssl.create_default_context(cafile=ca_file)
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(url, encoding="binary", context=None, token=None):
    """An async context manager of the WebSocket. `url` is wss://host:port."""
    protocol = {"binary": "tickwire.v1.bin", "json": "tickwire.v1.json"}[encoding]
    headers = {"Authorization": f"Bearer {token}"} if token else None
    # Snapshots of deep books make large frames; the server negotiates no compression.
    options = {"max_size": 1 << 26, "compression": None, "additional_headers": headers}
    return open_websocket(f"{url}/v1/stream", subprotocols=[protocol], ssl=context, **options)


async def follow(url, topics, seconds, encoding="binary", context=None, token=None, tracker=None, fps=None, on_control=None, tickets=None,
                 **options):
    """Subscribes and follows for a time. Returns the tracker and the bytes received; given a tracker, resumes what it holds. `fps`: grants so
    many frames a second (pace `credit`). `on_control` gets each control message. `tickets`, a list: asks for a ticket at the end and puts it
    there; with one in it, that is taken up instead of subscribing. Raises Refused for the first refused topic."""
    async with connect(url, encoding, context, token) as socket:
        tracker = tracker or Tracker()
        tracker.connection_lost()
        connection = Connection(socket, tracker)
        if tickets:
            await connection.resume(tickets.pop())
        else:
            await connection.subscribe(*topics, **options)
        granting = asyncio.create_task(_grant(connection, fps)) if fps else None
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                try:
                    message = await asyncio.wait_for(connection.receive(), left)
                except TimeoutError:
                    break
                if isinstance(message, dict):
                    _refusals(message)
                    if on_control:
                        on_control(message)
            if tickets is not None:
                await connection.ticket()
                while connection.newest_ticket is None:
                    message = await connection.receive()
                    if isinstance(message, dict):
                        _refusals(message)
                tickets.append(connection.newest_ticket)
        finally:
            if granting:
                granting.cancel()
        return tracker, connection.bytes_received


async def _grant(connection, fps):
    """Twice a second: a grant counts as a command, of which a server takes only a few a second."""
    owed = 0
    while True:
        owed += fps
        await connection.grant(owed // 2)
        owed %= 2
        await asyncio.sleep(0.5)


def _refusals(message):
    if message.get("type") == "error" and message["code"] != "rate_limited":
        raise Refused(f"{message['code']}: {message['message']}")
    for result in message.get("results", ()):
        if result["status"] == "refused":
            raise Refused(f"{result['topic']}: {result['code']}: {result['message']}")
