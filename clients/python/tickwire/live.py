"""A live connection. In: an address and topics. Out: frames applied to a Tracker until a time is over. Needs the package `websockets`."""

import asyncio
import json
import ssl
import time

import websockets

from .binary import BinaryDecoder
from .text import JsonDecoder
from .tracker import Tracker


class Refused(Exception):
    """The server refused what was asked, as a whole or one topic."""


class Connection:
    """Wraps an open WebSocket: frames are applied to the tracker."""

    def __init__(self, socket, tracker):
        self._socket, self.tracker = socket, tracker
        self._decoder = BinaryDecoder() if socket.subprotocol == "tickwire.v1.bin" else JsonDecoder()
        self.bytes_received = 0

    async def send(self, **message):
        await self._socket.send(json.dumps(message))

    async def receive(self):
        """The next message: a Frame that has been applied, or a control message as a dict."""
        raw = await self._socket.recv()
        self.bytes_received += len(raw)
        if isinstance(raw, str):
            message = json.loads(raw)
            if "data" not in message:
                return message
            raw = message
        frame = self._decoder.decode(raw)
        self.tracker.apply(frame)
        return frame


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
    return websockets.connect(f"{url}/v1/stream", subprotocols=[protocol], ssl=context, **options)


async def follow(url, topics, seconds, encoding="binary", context=None, token=None, tracker=None, **sub):
    """Subscribes and follows for a time. Returns the tracker and the bytes received; given a tracker, resumes what it holds.
    Raises Refused for the first refused topic."""
    async with connect(url, encoding, context, token) as socket:
        tracker = tracker or Tracker()
        tracker.connection_lost()
        connection = Connection(socket, tracker)
        if resume := tracker.resume():
            sub["resume"] = resume
        await connection.send(type="sub", id=1, topics=topics, **sub)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(connection.receive(), left)
            except TimeoutError:
                break
            if isinstance(message, dict):
                _refusals(message)
        return tracker, connection.bytes_received


def _refusals(message):
    if message.get("type") == "error":
        raise Refused(f"{message['code']}: {message['message']}")
    for result in message.get("results", ()):
        if result["status"] == "refused":
            raise Refused(f"{result['topic']}: {result['code']}: {result['message']}")
