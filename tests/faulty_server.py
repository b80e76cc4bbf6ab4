"""A web server on this machine that misbehaves as asked. Used by the tests of the downloader."""

import contextlib
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultySite:
    """Serves one content under every path; `behaviours[path]` says how, one entry a request, the last one for ever.

    ok                  the whole, or the range asked for
    no_range            the whole, whatever was asked for
    stall K             K bytes, then silence
    reset K             K bytes, then the connection is reset
    short K             K bytes, then the connection is closed as if that were all
    trickle K           K bytes every 20 ms
    corrupt             as many bytes, but other ones
    long                more bytes than announced by nobody: no length, 1000 bytes too many
    length N            announces N bytes
    html                a web page with status 200
    wrong_part          a range, but not the one asked for
    bad_range           a Content-Range that makes no sense
    redirect PATH       302 to another path
    any number          that status
    """

    def __init__(self, content):
        self.content = content
        self.behaviours = {}
        self.requests = []  # (path, Range header)
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.requests.append((self.path, self.headers.get("Range")))
                plan = site.behaviours.get(self.path, ["ok"])
                behaviour, *rest = (plan.pop(0) if len(plan) > 1 else plan[0]).split()
                with contextlib.suppress(ConnectionError):
                    site.answer(self, behaviour, rest)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.stopped = threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def close(self):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request, behaviour, rest):
        begin = 0
        asked = request.headers.get("Range")
        if behaviour.isdigit():
            request.send_error(int(behaviour))
            return
        if behaviour == "redirect":
            request.send_response(302)
            request.send_header("Location", rest[0])
            request.end_headers()
            return
        if behaviour == "html":
            page = b"<!doctype html><title>503</title>"
            self.head(request, 200, len(page), "text/html; charset=utf-8")
            request.wfile.write(page)
            return
        if asked and behaviour != "no_range":
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(self.content):
                request.send_error(416)
                return
        body = self.content[begin:]
        if behaviour == "corrupt":
            body = body[:8] + bytes(len(body) - 8)
        total = len(self.content)
        if behaviour == "length":
            total = int(rest[0])
        if behaviour == "long":
            self.head(request, 200, None)
            request.wfile.write(self.content + bytes(1000))
            return
        span = f"bytes {begin}-{total - 1}/{total}"
        if behaviour == "wrong_part":
            span = f"bytes 0-{total - 1}/{total}"
        if behaviour == "bad_range":
            span = "bytes nonsense"
        partial = asked and behaviour != "no_range"
        self.head(request, 206 if partial else 200, total - begin, span=span if partial else None)
        self.body(request, behaviour, body, rest)

    def head(self, request, status, length, kind="application/gzip", span=None):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        if length is not None:
            request.send_header("Content-Length", str(length))
        if span:
            request.send_header("Content-Range", span)
        request.end_headers()

    def body(self, request, behaviour, body, rest):
        out = request.wfile
        if behaviour in ("stall", "reset", "short"):
            out.write(body[: int(rest[0])])
            out.flush()
            if behaviour == "stall":
                self.stopped.wait(30)
            if behaviour == "reset":
                time.sleep(0.05)  # what was sent arrives before the reset does
                request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                request.connection.close()
        elif behaviour == "trickle":
            step = int(rest[0])
            for k in range(0, len(body), step):
                out.write(body[k : k + step])
                if self.stopped.wait(0.02):
                    return
        else:
            out.write(body)
