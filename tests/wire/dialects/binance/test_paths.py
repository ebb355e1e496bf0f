import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.wire.dialects.binance.dialect import speaking
from exchange_push.wire.dialects.binance.paths import open as open_path


def opened(target: str) -> tuple[str, tuple[str, ...]] | None:
    path, _, query = target.partition("?")
    opening = open_path(path, query, ())
    if opening is None:
        return None
    flavours = {
        speaking(combined=combined, micro=micro, futures=futures): "".join(
            letter for letter, on in zip("cmf", (combined, micro, futures), strict=True) if on
        )
        for combined in (False, True)
        for micro in (False, True)
        for futures in (False, True)
    }
    assert opening.subprotocol is None
    return flavours[opening.dialect], opening.names  # type: ignore[index]  # it is one of them


@pytest.mark.parametrize(
    ("target", "flavour", "names"),
    [
        ("/ws", "", ()),
        ("/ws/", "", ()),
        ("/ws/btcusdt@trade", "", ("btcusdt@trade",)),
        ("/ws/btcusdt@trade/ethusdt@depth@100ms", "", ("btcusdt@trade", "ethusdt@depth@100ms")),
        ("/ws/btcusdt%40trade/%21ticker%40arr", "", ("btcusdt@trade", "!ticker@arr")),
        ("/ws/btcusdt@kline_1h@+08:00", "", ("btcusdt@kline_1h@+08:00",)),
        ("/ws/!bookTicker", "", ("!bookTicker",)),
        ("/stream?streams=%21bookTicker/a@trade", "c", ("!bookTicker", "a@trade")),
        ("/ws/0", "", ()),
        ("/ws/17/btcusdt@trade", "", ("btcusdt@trade",)),
        ("/stream", "c", ()),
        ("/stream?", "c", ()),
        ("/stream?streams=", "c", ()),
        ("/stream?streams", "c", ()),
        ("/stream/?streams=btcusdt@trade", "c", ("btcusdt@trade",)),
        ("/stream?streams=btcusdt@trade/ethusdt@depth", "c", ("btcusdt@trade", "ethusdt@depth")),
        ("/stream?streams=btcusdt%40trade%2F%21ticker%40arr", "c", ("btcusdt@trade", "!ticker@arr")),
        ("/stream?streams=a@kline_1h@+08:00", "c", ("a@kline_1h@+08:00",)),
        ("/stream?streams=a@trade/a@trade", "c", ("a@trade",)),
        ("/stream?streams=a@trade&timeUnit=MICROSECOND", "cm", ("a@trade",)),
        ("/stream?timeUnit=microsecond&streams=a@trade", "cm", ("a@trade",)),
        ("/ws?timeUnit=MICROSECOND", "m", ()),
        ("/ws/a@trade?timeUnit=MILLISECOND", "", ("a@trade",)),
        ("/public/ws", "f", ()),
        ("/market/stream?streams=a@markPrice", "cf", ("a@markPrice",)),
        ("/private/ws?listenKey=x&events=A/B", "f", ()),
    ],
)
def test_a_path_says_what_is_spoken_and_subscribed(target: str, flavour: str, names: tuple[str, ...]) -> None:
    assert opened(target) == (flavour, names)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "",
        "ws",
        "/wss",
        "/WS",
        "/ws-api/v3",
        "/stream/a@trade",
        "/public",
        "/public/",
        "/x/ws",
        "/public/public/ws",
    ],
)
def test_any_other_path_is_none_of_ours(target: str) -> None:
    assert opened(target) is None


def test_who_speaks_alike_shares_a_dialect() -> None:
    one, other = open_path("/ws/a@trade", "", ()), open_path("/ws", "", ("any",))
    assert one is not None
    assert other is not None
    assert one.dialect is other.dialect


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_path_makes_it_fail(path: str, query: str) -> None:
    for prefix in ("", "/ws/", "/stream"):
        opening = open_path(prefix + path, query, ())
        assert opening is None or all("@" in name or name.startswith("!") for name in opening.names)
