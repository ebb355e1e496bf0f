"""The floor: nothing but send() to the same sockets, of frames that came whole; all lines of one read in one send."""

import select
import socket
import sys

from exchange_push.edge.sending import send_each
from exchange_push.wire.frame import TEXT, frame

_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def main(port: int) -> None:
    poll = select.epoll()
    listeners = [socket.create_server(("127.0.0.1", port + index), backlog=4096) for index in range(2)]
    for listener in listeners:
        poll.register(listener)
    clients: dict[int, socket.socket] = {}
    lines: dict[int, socket.socket] = {}
    numbers: dict[int, int] = {}
    rest = b""
    while True:
        for number, _ in poll.poll():
            if number == listeners[0].fileno() or number == listeners[1].fileno():
                is_line = number == listeners[1].fileno()
                skt, _ = listeners[is_line].accept()
                skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                (lines if is_line else clients)[skt.fileno()] = skt
                poll.register(skt, select.EPOLLIN)
            elif number in lines:
                data = lines[number].recv(1 << 16)
                *found, rest = (rest + data).split(b"\n")
                wire = b"".join(frame(line, TEXT).wire for line in found)
                send_each(dict.fromkeys(numbers, (wire,)), numbers)
                if not data:
                    poll.unregister(number)
                    lines.pop(number).close()
            else:
                try:
                    data = clients[number].recv(1 << 16)
                except ConnectionError:
                    data = b""
                if not data:
                    poll.unregister(number)
                    clients.pop(number).close()
                elif data.startswith(b"GET"):
                    clients[number].send(_ANSWER)
                elif data[0] & 15 == 1:
                    clients[number].send(frame(b'{"result":true}', TEXT).wire)
                numbers = {number: number for number in clients}


main(int(sys.argv[1]))
