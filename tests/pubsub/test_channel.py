import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_push.errors import ClientCode, ClientError
from exchange_push.pubsub.channel import Channel, Owner, Registry, client_name
from tests.pubsub.lobby import BALANCE, DEPTH, KINDS, KLINE, SYSTEM, TICKERS, Lobby

REGISTRY = Registry(KINDS, aliases={"kline": "kline_1m"})


def refused(name: object, uid: str | None) -> ClientCode:
    with pytest.raises(ClientError) as caught:
        REGISTRY.for_client(name, uid)
    assert len(caught.value.msg) < 300
    assert caught.value.msg.isprintable()
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("BTCUSDT@depth", Channel(DEPTH, "BTCUSDT")),
        ("0-A_9@depth", Channel(DEPTH, "0-A_9")),
        ("A" * 32 + "@depth", Channel(DEPTH, "A" * 32)),
        ("BTCUSDT@kline", Channel(KLINE, "BTCUSDT")),
        ("BTCUSDT@kline_1m", Channel(KLINE, "BTCUSDT")),
        ("*@ticker", Channel(TICKERS, "*")),
        ("@balance", Channel(BALANCE, "1001")),
        ("system", Channel(SYSTEM, "")),
    ],
)
def test_a_client_names_public_channels_and_its_own(name: str, channel: Channel) -> None:
    assert REGISTRY.for_client(name, "1001") == channel


@pytest.mark.parametrize(
    "name",
    [
        "",
        "@",
        "@@",
        "@@balance",
        "a@b@c",
        "1001@balance",
        "1002@balance",
        "ex:1001@balance",
        "ex:@balance",
        "ex:BTCUSDT@depth",
        "@depth",
        "@system",
        "*@balance",
        "*@depth",
        "*",
        "balance",
        "@Balance",
        "@balance ",
        " @balance",
        "@balance\n",
        "@balance\x00",
        "@b\u0430lance",
        "＠balance",
        "@ba\u200blance",
        "BTCUSDT@",
        "btcusdt@depth",
        "BTC/USDT@depth",
        "BTCUSDT@depth@100ms",
        "BTCUSDT\x00@depth",
        "BTCUSDT@depth\n",
        "\u0392TCUSDT@depth",
        "-BTC@depth",
        "_BTC@depth",
        "A" * 33 + "@depth",
        "x" * 300,
        "@" * 300,
        "x" * 100_000 + "@depth",
    ],
)
@pytest.mark.parametrize("uid", [None, "1001"])
def test_any_other_name_is_an_invalid_channel(name: str, uid: str | None) -> None:
    assert refused(name, uid) is ClientCode.INVALID_CHANNEL


def test_a_private_channel_before_login_is_not_auth() -> None:
    assert refused("@balance", None) is ClientCode.NOT_AUTH


def test_what_is_no_string_is_malformed() -> None:
    for name in (None, 1, True, [], {}, b"BTCUSDT@depth"):
        assert refused(name, "1001") is ClientCode.MALFORMED


@given(st.text(max_size=40))
def test_no_text_of_a_client_names_another_users_channel(name: str) -> None:
    try:
        channel = REGISTRY.for_client(name, "1001")
    except ClientError:
        return
    assert channel.kind.owner is not Owner.USER or channel.owner == "1001"


def test_no_generated_name_ever_delivers_another_users_event() -> None:
    lobby = Lobby(requests_per_s=1e12, requests_burst=10**12, max_subscriptions=10**9)
    pieces = [
        "@",
        "@@",
        "balance",
        "order",
        "A",
        "B",
        "C",
        "ex:",
        "ex",
        ":",
        "*",
        "\x00",
        " ",
        "BTC",
        "depth",
        "system",
    ]
    chance = random.Random(2)
    users = {uid: lobby.client(uid) for uid in "ABC"}
    accepted = 0
    for _ in range(33_334):
        name = "".join(chance.choices(pieces, k=chance.randint(1, 5)))
        for uid in users:
            try:
                channel = lobby.registry.for_client(name, uid)
            except ClientError:
                continue
            accepted += 1
            assert channel.kind.owner is not Owner.USER or channel.owner == uid
    for uid, client in users.items():
        client.ask({"op": "subscribe", "channels": ["@balance", "@order"]})
        lobby.publish(Channel(BALANCE, uid), uid)

    assert accepted > 100
    for uid, client in users.items():
        assert [message["data"] for message in client.heard()] == [uid]


@pytest.mark.parametrize("prefix", ["ex:", ""])
def test_a_push_names_channels_as_they_are_inside(prefix: str) -> None:
    assert REGISTRY.for_push(prefix + "1001@balance") == Channel(BALANCE, "1001")
    assert REGISTRY.for_push(prefix + "BTCUSDT@depth") == Channel(DEPTH, "BTCUSDT")
    assert REGISTRY.for_push(prefix + "*@ticker") == Channel(TICKERS, "*")


@pytest.mark.parametrize(
    "name", ["", "@balance", "ex:ex:1001@balance", "10 01@balance", "1001 @balance", "x" * 65 + "@balance", "1001@nope"]
)
def test_a_push_to_no_channel_is_none(name: str) -> None:
    assert REGISTRY.for_push(name) is None


def test_a_client_knows_its_own_channel_by_the_short_name() -> None:
    assert client_name(Channel(BALANCE, "1001")) == "@balance"
    assert client_name(Channel(DEPTH, "BTCUSDT")) == "BTCUSDT@depth"
    assert str(Channel(BALANCE, "1001")) == "1001@balance"
    assert str(Channel(SYSTEM, "")) == "system"


def test_of_one_catalogue_clients_of_two_kinds_may_know_different_symbols() -> None:
    registry = Registry([DEPTH], symbols=["A"])
    other = registry.knowing(lambda symbol: symbol == "B")

    assert registry.for_client("A@depth", None) == other.for_client("B@depth", None)._replace(owner="A")
    for one, name in ((registry, "B@depth"), (other, "A@depth")):
        with pytest.raises(ClientError, match="unknown symbol"):
            one.for_client(name, None)
