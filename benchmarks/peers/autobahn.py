"""Plain Autobahn on Twisted: sendMessage to each."""

import sys


def main(port: int) -> None:
    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory
    from twisted.protocols.basic import LineOnlyReceiver

    subscribed = set()

    class Client(WebSocketServerProtocol):
        def onMessage(self, payload, isBinary):
            subscribed.add(self)
            self.sendMessage(b'{"result":true}')

        def onClose(self, wasClean, code, reason):
            subscribed.discard(self)

    class Lines(LineOnlyReceiver):
        delimiter = b"\n"
        MAX_LENGTH = 1 << 20

        def lineReceived(self, line):
            for client in subscribed:
                client.sendMessage(line)

    factory = WebSocketServerFactory()
    factory.protocol = Client
    reactor.listenTCP(port, factory, backlog=4096, interface="127.0.0.1")
    reactor.listenTCP(port + 1, Factory.forProtocol(Lines), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    sys.path.pop(0)
    main(int(sys.argv[1]))
