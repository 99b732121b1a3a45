"""A camera on loopback that fails on demand: motion JPEG over HTTP, or JPEG in RTP over RTSP (RFC 2326, RFC 2435)."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import cv2
import numpy as np

PACKET_BYTES = 1200  # largest part of an image in one RTP packet
RTP_TICKS = 90_000  # per second, of RTP's clock for video


@dataclass
class Behavior:
    """What the camera does. It may be changed at any time.

    Attributes:
        mode: "normal", "frozen" (sends nothing), "garbage" (random bytes) or "trickle" (single bytes, slowly).
        side: Height and width of its images in pixels, a multiple of 16.
        disconnects: How often all viewers have been disconnected.
        sent: Number of RTP packets sent.
        frame_seconds: Seconds from one image to the next.
    """

    mode: str = "normal"
    side: int = 64
    disconnects: int = 0
    sent: int = 0
    frame_seconds: float = 1 / 60


def jpeg(side: int) -> bytes:
    """Returns a gray image as JPEG."""
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), 128, np.uint8))[1].tobytes())


def send_images(behavior: Behavior, send: Callable[[bytes], None], write: Callable[[bytes], object]) -> None:
    """Sends images until the viewers are disconnected.

    Args:
        behavior: What the camera does.
        send: Sends one JPEG as the protocol requires.
        write: Sends bytes as they are.
    """
    disconnects = behavior.disconnects
    while behavior.disconnects == disconnects:
        time.sleep(behavior.frame_seconds)
        if behavior.mode == "frozen":
            continue
        if behavior.mode == "trickle":
            for byte in jpeg(behavior.side)[:40]:
                write(bytes([byte]))
                time.sleep(0.05)
            return
        if behavior.mode == "garbage":
            write(os.urandom(2000))
        else:
            send(jpeg(behavior.side))


class HttpCamera(StreamRequestHandler):
    """Sends motion JPEG over HTTP."""

    server: Any

    def handle(self) -> None:
        """Serves one viewer."""
        while self.rfile.readline().strip():
            continue
        self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")

        def send(data: bytes) -> None:
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            self.wfile.write(head + data + b"\r\n")

        send_images(self.server.behavior, send, self.wfile.write)


class RtspCamera(StreamRequestHandler):
    """Sends JPEG in RTP, on the same connection as RTSP."""

    server: Any

    def handle(self) -> None:
        """Serves one viewer."""
        while line := self.rfile.readline().decode(errors="replace").split():
            sequence, header = "0", b" "
            while header := self.rfile.readline().strip():
                if header.lower().startswith(b"cseq:"):
                    sequence = header.split(b":")[1].strip().decode()
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
            self.wfile.write(f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}\r\n{body}".encode())
            if line[0] == "PLAY":
                send_images(self.server.behavior, self.send, self.wfile.write)
                return

    def send(self, data: bytes) -> None:
        """Sends one JPEG in packets."""
        behavior: Behavior = self.server.behavior
        tables, scan = split_jpeg(data)
        stamp = int(time.monotonic() * RTP_TICKS) & 0xFFFFFFFF
        for begin in range(0, len(scan), PACKET_BYTES):
            part = scan[begin : begin + PACKET_BYTES]
            last = begin + PACKET_BYTES >= len(scan)
            rtp = struct.pack(">BBHII", 0x80, 26 | 0x80 * last, behavior.sent & 0xFFFF, stamp, 1)
            # type 1 is 4:2:0; 255 means that the first packet has the quantization tables
            head = struct.pack(">I", begin) + bytes([1, 255, behavior.side // 8, behavior.side // 8])
            if not begin:
                head += struct.pack(">HH", 0, len(tables)) + tables
            packet = rtp + head + part
            self.wfile.write(b"$\x00" + struct.pack(">H", len(packet)) + packet)
            behavior.sent += 1


def split_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """Returns the quantization tables and the scan of a JPEG, which are all that RTP carries."""
    tables, offset = b"", 2
    while data[offset + 1] != 0xDA:
        length = struct.unpack(">H", data[offset + 2 : offset + 4])[0]
        if data[offset + 1] == 0xDB:
            segment = data[offset + 4 : offset + 2 + length]
            tables += b"".join(segment[begin + 1 : begin + 65] for begin in range(0, len(segment), 65))
        offset += 2 + length
    length = struct.unpack(">H", data[offset + 2 : offset + 4])[0]
    return tables, data[offset + 2 + length : -2]


class Server(ThreadingTCPServer):
    """A camera that can be switched off and on again at the same port."""

    daemon_threads = allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores viewers that have left."""


@contextmanager
def serving(protocol: str, port: int) -> Iterator[Behavior]:
    """Switches the camera on while the `with` block lasts.

    Args:
        protocol: "http" or "rtsp".
        port: Port on loopback.

    Yields:
        What the camera does, to be changed.
    """
    server: Any = Server(("127.0.0.1", port), HttpCamera if protocol == "http" else RtspCamera)
    server.behavior = Behavior()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.behavior
    finally:
        server.behavior.disconnects += 1
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
