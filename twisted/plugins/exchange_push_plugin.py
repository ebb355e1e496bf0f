"""Makes `twistd exchange-push` known."""

from twisted.application.service import ServiceMaker

exchange_push = ServiceMaker(
    "exchange-push",
    "exchange_push.service",
    "Push server for digital-asset exchanges: market data calculated and fanned out, private events delivered.",
    "exchange-push",
)
