"""A service that decides who may come in, and mostly behaves badly.

auth_service.py
prints where it listens, and does to each question what the parameter "do" of the URL asked for says.
"/count?do=X" answers how often X was asked for.
"""

import collections
import socket
import socketserver
import struct
import time
import urllib.parse

asked = collections.Counter()


def answer(status, *lines, body=b""):
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines))
    return head.encode("utf-8") + b"\r\n\r\n" + body


problem = b'{"code":"no_seat","detail":"Sold out."}'
answers = {
    "admit": answer("200 OK", "X-Usher-Sub: alice"),
    "remember": answer("200 OK", "X-Usher-Sub: alice", "Cache-Control: max-age=3600"),
    "private": answer("200 OK", "X-Usher-Sub: alice", "Cache-Control: private, max-age=3600"),
    "nobody": answer("204 No Content"),
    "login": answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="hall"', "Content-Type: text/html", body=b"<p>Log in"),
    "forbid": answer("403 Forbidden", "Content-Type: application/problem+json", "Set-Cookie: a=b", body=problem),
    "forbid_remembered": answer("403 Forbidden", "Cache-Control: max-age=3600"),
    "busy": answer("429 Too Many Requests", "Retry-After: 77", "Cache-Control: max-age=3600"),
    "redirect": answer("302 Found", "Location: /?do=admit", "X-Usher-Sub: alice"),
    "hints": b"HTTP/1.1 103 Early Hints\r\nX-Usher-Sub: mallory\r\n\r\n" + answer("200 OK", "X-Usher-Sub: alice"),
    "endless_hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100000,
    "fail": answer("500 Internal Server Error", "X-Usher-Sub: alice", body=b"at line 7 of auth.py"),
    "huge": answer("403 Forbidden", "Content-Type: application/json", body=b"[" + b"1," * 5000000 + b"1]"),
    "huge_admit": answer("200 OK", "X-Usher-Sub: alice", body=b"x" * 10000000),
    "long_head": answer("200 OK", "X-Usher-Sub: alice", "X-Long: " + "x" * 100000),
    "inject": answer("403 Forbidden", "WWW-Authenticate: a\tb\x01c\rSet-Cookie: x=y"),
    "inject_bare": answer("403 Forbidden", "WWW-Authenticate: a\nX-Evil: y"),
    "twice": answer("200 OK", "X-Usher-Sub: alice", "X-Usher-Sub: bob"),
    "server": answer("200 OK", "X-Usher-Sub: Server"),
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n",
    "half": b"HTTP/1.1 200 OK\r\nX-Usher-Sub: al",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\nX-Usher-Sub: alice\r\n\r\n",
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while self.question():
            pass

    def question(self):
        target, headers = self.head()
        if target is None:
            return False
        url = urllib.parse.urlsplit(target)
        query = urllib.parse.urlsplit(headers.get("x-original-uri", "")).query or url.query
        do = dict(urllib.parse.parse_qsl(query)).get("do", "")
        if url.path == "/count":
            self.wfile.write(answer("200 OK", body=str(asked[do]).encode()))
            return True
        asked[do] += 1
        if do == "silent":
            self.rfile.read()  # until it is given up
            return False
        if do == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if do == "drip":
            for byte in answers["admit"] * 1000:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
        if do == "close":  # without a word before, so that the next question finds a closed connection
            self.wfile.write(answers["admit"])
            return False
        self.wfile.write(answers[do])
        return do not in ("garbage", "half", "switch", "endless_hints", "inject_bare")

    def head(self):
        line, headers = self.rfile.readline(), {}
        while (field := self.rfile.readline().strip()) != b"":
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return (line.split()[1].decode() if line else None), headers


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # usher hangs up when it has had enough


with Server(("127.0.0.1", 0), Handler) as server:
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
