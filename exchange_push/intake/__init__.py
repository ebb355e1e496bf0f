"""How the exchange reaches us: datagrams, lines, HTTP and WebSocket. Thin."""
