"""A small HTTP/1.1 server: one thread per connection, kept alive, nothing buffered for long.

moto's own development server takes longer to parse a request than moto takes to answer it.
"""

import socket
import threading
import urllib.parse

_MAX_HEAD = 256 * 1024
_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 404: "Not Found"}


class Incoming:
    """One request as it came over the wire; header names are in lower case."""

    def __init__(self, method, target, headers, body, client, tables):
        self.method = method
        self.raw_path, _, self.query = target.partition("?")
        self.path = urllib.parse.unquote(self.raw_path)
        self.headers = headers
        self.body = body
        self.client_address, self.client_port = client
        # The folder of `/proc` that lists the socket at the other end.
        self.tables = tables

    def environ(self, server_port):
        """The WSGI environment that moto's request class wants."""
        import io

        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path.encode("utf-8").decode("latin-1"),
            "RAW_URI": self.raw_path,
            "QUERY_STRING": self.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(server_port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "CONTENT_LENGTH": str(len(self.body)),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
                environ[f"HTTP_{key}"] = value
        environ.setdefault("HTTP_HOST", f"127.0.0.1:{server_port}")
        return environ


class Hangup(Exception):
    """The connection is to be broken without an answer."""


class Server:
    """Listens on a loopback port and hands every request to `answer(incoming)`.

    `answer` returns status, headers and body (str or bytes), or raises `Hangup`.
    """

    def __init__(self, answer, port=0):
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(512)
        self.port = self._socket.getsockname()[1]

    def serve_forever(self):
        """Accept connections until the process ends."""
        self._accept(self._socket, "/proc/net")

    def serve_also(self, listener, tables):
        """Answer on another listening socket too, whose other ends `tables` lists."""
        threading.Thread(target=self._accept, args=(listener, tables), daemon=True).start()

    def _accept(self, listener, tables):
        while True:
            connection, address = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(
                target=self._serve, args=(connection, address, tables), daemon=True
            )
            thread.start()

    def _serve(self, connection, client, tables):
        reader = connection.makefile("rb")
        try:
            while True:
                incoming = _read_request(reader, connection, client, tables)
                if incoming is None:
                    return
                status, headers, body = self._answer(incoming)
                keep = incoming.headers.get("connection", "").lower() != "close"
                _write_answer(connection, incoming.method, status, headers, body, keep)
                if not keep:
                    return
        except (Hangup, ConnectionError, ValueError, OSError):
            return
        finally:
            reader.close()
            connection.close()


def _read_request(reader, connection, client, tables):
    """The next request of a connection, or None at its end."""
    line = reader.readline(_MAX_HEAD)
    while line in (b"\r\n", b"\n"):
        line = reader.readline(_MAX_HEAD)
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = {}
    while True:
        line = reader.readline(_MAX_HEAD)
        if line in (b"\r\n", b"\n", b""):
            break
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _read_chunks(reader)
    else:
        body = reader.read(int(headers.get("content-length") or 0))
    if target.startswith("http://"):
        target = "/" + target.split("/", 3)[3] if target.count("/") >= 3 else "/"
    return Incoming(method, target, headers, body, client, tables)


def _read_chunks(reader):
    chunks = []
    while True:
        size = int(reader.readline(_MAX_HEAD).split(b";")[0], 16)
        if size == 0:
            while reader.readline(_MAX_HEAD) not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(chunks)
        chunks.append(reader.read(size))
        reader.readline(_MAX_HEAD)


def _write_answer(connection, method, status, headers, body, keep):
    if isinstance(body, str):
        body = body.encode("utf-8")
    body = body or b""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Answer')}"]
    for name, value in headers.items():
        if name.lower() not in ("content-length", "connection", "transfer-encoding", "status"):
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: keep-alive" if keep else "Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    connection.sendall(head if method == "HEAD" else head + body)
