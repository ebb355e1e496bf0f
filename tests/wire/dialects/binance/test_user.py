"""Pushes to a user as events of Binance's user data stream."""

import msgspec
import pytest

from exchange_push.catalog import PUSHED
from exchange_push.pubsub.channel import Channel
from exchange_push.pubsub.publication import Publication
from exchange_push.wire.dialects.binance.user import user_events

ORDER = next(kind for kind in PUSHED if kind.name == "order")
FILLED = {"orderId": 7, "symbol": "BTCUSDT", "status": "FILLED", "qty": "2", "filled": "2"}


@pytest.mark.parametrize(
    ("told", "fee", "asset"),
    [
        (FILLED, "0.00000000", "USDT"),
        (FILLED | {"fee": "0.1", "feeAsset": "BTC"}, "0.10000000", "BTC"),
        (FILLED | {"status": "NEW", "filled": "0"}, "0.00000000", None),
    ],
)
def test_a_fill_has_a_fee_in_some_asset_and_what_is_none_has_not(
    told: dict[str, object], fee: str, asset: str | None
) -> None:
    [event] = user_events(Publication(Channel(ORDER, "1001"), msgspec.Raw(msgspec.json.encode(told))))

    report = msgspec.json.decode(event)
    assert (report["n"], report["N"]) == (fee, asset)
