"""Publishes to rooms and users over NATS, with the standard library alone:
python3 publish.py HOST:PORT SUBJECT MESSAGE [SUBJECT MESSAGE]...
NATS_TOKEN, or NATS_USER and NATS_PASSWORD, are what the servers want to see, if anything."""
import json, os, socket, sys

shown = {"auth_token": "NATS_TOKEN", "user": "NATS_USER", "pass": "NATS_PASSWORD"}
hello = {"verbose": False, "name": "backend"} | {k: os.environ[v] for k, v in shown.items() if v in os.environ}
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port))) as s:
    lines = s.makefile("rb")
    assert lines.readline().startswith(b"INFO ")
    s.sendall(b"CONNECT %s\r\n" % json.dumps(hello).encode())
    for subject, message in zip(sys.argv[2::2], sys.argv[3::2]):
        body = message.encode()
        s.sendall(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(body), body))
    s.sendall(b"PING\r\n")  # its PONG says that the server has all of it
    while (line := lines.readline().strip()) != b"PONG":
        assert line and not line.startswith(b"-ERR"), line
