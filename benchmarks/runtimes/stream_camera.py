"""A camera on loopback that can be made ill: motion JPEG over HTTP, or JPEG in RTP over RTSP (RFC 2326, RFC 2435)."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import cv2
import numpy as np

PERIOD = 1 / 60
PACKET = 1200  # bytes of a picture in one RTP packet
CLOCK = 90_000  # ticks a second of RTP's clock for video


@dataclass
class Mood:
    """What the camera is made to do.

    Attributes:
        name: "well", "frozen", "garbage" or "trickle".
        side: pixels of its square pictures, a multiple of 16.
        cuts: how often all its viewers were cut off.
    """

    name: str = "well"
    side: int = 64
    cuts: int = 0
    sent: int = field(default=0)


def jpeg(side: int) -> bytes:
    """A gray picture."""
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), 128, np.uint8))[1].tobytes())


def pictures(mood: Mood, send: Callable[[bytes], None], write: Callable[[bytes], object]) -> None:
    """Sends pictures until the viewers are cut off.

    Args:
        mood: of the camera.
        send: one picture, framed as the protocol wants it.
        write: bytes as they are.
    """
    born = mood.cuts
    while mood.cuts == born:
        time.sleep(PERIOD)
        if mood.name == "frozen":
            continue
        if mood.name == "trickle":
            for byte in jpeg(mood.side)[:40]:
                write(bytes([byte]))
                time.sleep(0.05)
            return
        if mood.name == "garbage":
            write(os.urandom(2000))
        else:
            send(jpeg(mood.side))


class HttpCamera(StreamRequestHandler):
    """Motion JPEG."""

    server: Any

    def handle(self) -> None:
        """One viewer."""
        while self.rfile.readline().strip():
            continue
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")

        def send(data: bytes) -> None:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            self.wfile.write(head + data + b"\r\n")

        pictures(self.server.mood, send, self.wfile.write)


class RtspCamera(StreamRequestHandler):
    """JPEG in RTP, in the same connection as RTSP."""

    server: Any

    def handle(self) -> None:
        """One viewer."""
        while line := self.rfile.readline().decode(errors="replace").split():
            number, header = "0", b" "
            while header := self.rfile.readline().strip():
                if header.lower().startswith(b"cseq:"):
                    number = header.split(b":")[1].strip().decode()
            extra, body = "", ""
            if line[0] == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif line[0] == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:0\r\n"
                extra = f"Content-Type: application/sdp\r\nContent-Base: {line[1]}/\r\nContent-Length: {len(body)}\r\n"
            elif line[0] == "SETUP":
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif line[0] == "PLAY":
                extra = "Session: 1\r\n"
            self.wfile.write(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{extra}\r\n{body}".encode())
            if line[0] == "PLAY":
                pictures(self.server.mood, self.send, self.wfile.write)
                return

    def send(self, data: bytes) -> None:
        """One picture in packets."""
        mood: Mood = self.server.mood
        tables, scan = taken_apart(data)
        stamp = int(time.monotonic() * CLOCK) & 0xFFFFFFFF
        for begin in range(0, len(scan), PACKET):
            part = scan[begin : begin + PACKET]
            last = begin + PACKET >= len(scan)
            rtp = struct.pack(">BBHII", 0x80, 26 | 0x80 * last, mood.sent & 0xFFFF, stamp, 1)
            head = struct.pack(">I", begin) + bytes([1, 255, mood.side // 8, mood.side // 8])  # 4:2:0, tables with it
            if not begin:
                head += struct.pack(">HH", 0, len(tables)) + tables
            packet = rtp + head + part
            self.wfile.write(b"$\x00" + struct.pack(">H", len(packet)) + packet)
            mood.sent += 1


def taken_apart(data: bytes) -> tuple[bytes, bytes]:
    """Quantization tables and scan of a JPEG, which are all that RTP carries of it."""
    tables, place = b"", 2
    while data[place + 1] != 0xDA:
        length = struct.unpack(">H", data[place + 2 : place + 4])[0]
        if data[place + 1] == 0xDB:
            segment = data[place + 4 : place + 2 + length]
            tables += b"".join(segment[begin + 1 : begin + 65] for begin in range(0, len(segment), 65))
        place += 2 + length
    length = struct.unpack(">H", data[place + 2 : place + 4])[0]
    return tables, data[place + 2 + length : -2]


class Server(ThreadingTCPServer):
    """A camera that can be turned off and on again at the same port."""

    daemon_threads = allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that left."""


@contextmanager
def serving(protocol: str, port: int) -> Iterator[Mood]:
    """The camera, turned on.

    Args:
        protocol: "http" or "rtsp".
        port: of loopback.

    Yields:
        Its mood, to be changed.
    """
    server: Any = Server(("127.0.0.1", port), HttpCamera if protocol == "http" else RtspCamera)
    server.mood = Mood()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.mood
    finally:
        server.mood.cuts += 1
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
