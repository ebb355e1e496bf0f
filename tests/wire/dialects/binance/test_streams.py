import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push import catalog
from exchange_push.errors import ClientCode, ClientError
from exchange_push.pubsub.channel import Channel, Owner, Registry, client_name
from exchange_push.wire.dialects.binance.streams import FUTURES, SPOT, channel_name, stream_name

REGISTRY = Registry((*catalog.COMPUTED, *catalog.PUSHED))


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ("btcusdt@trade", "BTCUSDT@trade"),
        ("btcusdt@aggTrade", "BTCUSDT@trades"),
        ("btcusdt@kline_1m", "BTCUSDT@kline_1m"),
        ("btcusdt@kline_1M", "BTCUSDT@kline_1M"),
        ("btcusdt@kline_1h@+08:00", "BTCUSDT@kline_1h"),
        ("btcusdt@miniTicker", "BTCUSDT@miniticker"),
        ("!miniTicker@arr", "*@miniticker"),
        ("!miniTicker@arr@1000ms", "*@miniticker"),
        ("btcusdt@ticker", "BTCUSDT@ticker"),
        ("!ticker@arr", "*@ticker"),
        ("btcusdt@ticker_4h", "BTCUSDT@ticker_4h"),
        ("!ticker_1d@arr", "*@ticker_1d"),
        ("btcusdt@bookTicker", "BTCUSDT@bookticker"),
        ("!bookTicker", "*@bookticker"),
        ("btcusdt@avgPrice", "BTCUSDT@avgprice"),
        ("btcusdt@depth5", "BTCUSDT@depth5_1s"),
        ("btcusdt@depth20@100ms", "BTCUSDT@depth20"),
        ("btcusdt@depth10@1000ms", "BTCUSDT@depth10_1s"),
        ("btcusdt@depth", "BTCUSDT@depth_1s"),
        ("btcusdt@depth@1000ms", "BTCUSDT@depth_1s"),
        ("btcusdt@depth@100ms", "BTCUSDT@depth"),
        ("btcusdt@markPrice", "BTCUSDT@markprice_3s"),
        ("btcusdt@markPrice@1s", "BTCUSDT@markprice"),
        ("!markPrice@arr", "*@markprice_3s"),
        ("!markPrice@arr@1s", "*@markprice"),
        ("btc-usdt_perp@trade", "BTC-USDT_PERP@trade"),
    ],
)
def test_a_stream_is_a_channel(stream: str, name: str) -> None:
    assert channel_name(stream, SPOT) == name


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ("btcusdt@depth", "BTCUSDT@depth_250ms"),
        ("btcusdt@depth@500ms", "BTCUSDT@depth_500ms"),
        ("btcusdt@depth@100ms", "BTCUSDT@depth"),
        ("btcusdt@depth@0ms", "BTCUSDT@depth"),
        ("btcusdt@depth5", "BTCUSDT@depth5"),
        ("btcusdt@depth20@0ms", "BTCUSDT@depth20"),
        ("btcusdt@depth5@500ms", "BTCUSDT@depth5"),
        ("btcusdt@kline_1m", "BTCUSDT@kline_1m"),
        ("btcusdt_perpetual@continuousKline_1M", "BTCUSDT@kline_1M"),
        ("btc-usdt_perp_perpetual@continuousKline_1m", "BTC-USDT_PERP@kline_1m"),
    ],
)
def test_futures_have_other_speeds(stream: str, name: str) -> None:
    assert channel_name(stream, FUTURES) == name


@pytest.mark.parametrize(
    "stream",
    [
        "btcusdt",
        "",
        "@trade",
        "btcusdt@",
        "BTCUSDT@trade",
        "btcUSDT@trade",
        "btcusdt@TRADE",
        "btcusdt@trades",
        "btcusdt@markprice",
        "btcusdt@kline",
        "btcusdt@kline_2m",
        "btcusdt@kline_1m@+09:00",
        "btcusdt@depth7",
        "btcusdt@depth@1ms",
        "btcusdt@trade@100ms",
        "btc/usdt@trade",
        "btc usdt@trade",
        "\u0131cp@trade",
        "!bookTicker@arr",
        "btcusdt@continuousKline_1m",
        "_perpetual@continuousKline_1m",
        "btcusdt_current_quarter@continuousKline_1m",
        "btcusdt_perpetual@continuousKline_2m",
        "!ticker",
        "!nothing@arr",
        "*@ticker",
        "1001@balance",
        "@balance",
        "system",
        "a" * 33 + "@trade",
    ],
)
def test_any_other_name_is_no_stream(stream: str) -> None:
    for kinds in (SPOT, FUTURES):
        with pytest.raises(ClientError, match="invalid stream") as caught:
            channel_name(stream, kinds)
        assert caught.value.code is ClientCode.INVALID_CHANNEL


@pytest.mark.parametrize("interval", ["6h", "12h", "1d", "3d", "1w", "1M"])
def test_candles_that_begin_elsewhere_8_hours_to_the_east_are_refused(interval: str) -> None:
    with pytest.raises(
        ClientError, match=f"invalid stream 'a@kline_{interval}@.08:00', its candles begin by UTC here$"
    ):
        channel_name(f"a@kline_{interval}@+08:00", SPOT)


def test_who_writes_a_symbol_in_upper_case_is_told() -> None:
    with pytest.raises(ClientError, match=r"^invalid stream 'BTCUSDT@depth@100ms', expected btcusdt@depth@100ms$"):
        channel_name("BTCUSDT@depth@100ms", SPOT)


@pytest.mark.parametrize("stream", [None, 7, ["btcusdt@trade"], {}])
def test_what_is_no_text_is_malformed(stream: object) -> None:
    with pytest.raises(ClientError) as caught:
        channel_name(stream, SPOT)
    assert caught.value.code is ClientCode.MALFORMED


def test_every_stream_is_a_channel_that_there_is() -> None:
    for kinds in (SPOT, FUTURES):
        for rest in kinds:
            assert REGISTRY.for_client(channel_name(f"a-b_1@{rest}", kinds), None).owner == "A-B_1"


def test_every_public_channel_is_a_stream() -> None:
    for kinds in (SPOT, FUTURES):
        for kind in catalog.COMPUTED:
            channel = Channel(kind, "A" if kind.owner is Owner.SYMBOL else "*")
            name = stream_name(channel, kinds)
            if name != client_name(channel):
                assert REGISTRY.for_client(channel_name(name, kinds), None) == channel
            else:
                assert kind.name.startswith("depth")  # of the other market


def test_a_channel_that_is_no_stream_keeps_its_own_name() -> None:
    balance = REGISTRY.kind(Owner.USER, "balance")
    assert balance is not None
    assert stream_name(Channel(balance, "1001"), SPOT) == "@balance"


@given(st.text(max_size=40))
def test_no_name_reaches_a_channel_of_a_user(name: str) -> None:
    for kinds in (SPOT, FUTURES):
        try:
            found = channel_name(name, kinds)
        except ClientError:
            continue
        assert REGISTRY.for_client(found, "1001").kind.owner in (Owner.SYMBOL, Owner.EVERY)
