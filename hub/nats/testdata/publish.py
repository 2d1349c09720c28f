"""Publishes to a room and to a user over NATS, with the standard library alone:
python3 publish.py HOST:PORT SUBJECT MESSAGE [SUBJECT MESSAGE]..."""
import socket, sys

host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port))) as s:
    lines = s.makefile("rb")
    assert lines.readline().startswith(b"INFO ")
    s.sendall(b'CONNECT {"verbose":false,"name":"backend"}\r\n')
    for subject, message in zip(sys.argv[2::2], sys.argv[3::2]):
        body = message.encode()
        s.sendall(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(body), body))
    s.sendall(b"PING\r\n")  # its PONG says that the server has all of it
    while (line := lines.readline().strip()) != b"PONG":
        assert line and not line.startswith(b"-ERR"), line
