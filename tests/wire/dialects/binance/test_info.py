"""What clients read of a venue before they do anything else."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import to_builtins

from exchange_push.market.product import Product
from exchange_push.wire.dialects.binance.info import coins, futures_info, rate_limits, spot_info

SIZED = Product(tick_size=Decimal("0.10"), step_size=Decimal("0.001"), min_notional=Decimal(5), max_qty=Decimal(900))


def spot(product: Product = SIZED, symbol: str = "BTCUSDT", **options: bool) -> Any:
    return to_builtins(spot_info({symbol: product}, rate_limits(6000), 5, **options))["symbols"][0]


def contract(product: Product) -> Any:
    return to_builtins(futures_info({"BTCUSDT": product}, [], 5))["symbols"][0]


def test_trap_8_the_price_filter_stands_first() -> None:
    for found in (spot(), contract(SIZED)):
        assert found["filters"][0]["filterType"] == "PRICE_FILTER"
        assert found["filters"][0]["tickSize"] == "0.10000000"


def test_trap_9_a_spot_symbol_has_no_key_of_a_derivative() -> None:
    keys = {"contractType", "underlying", "tradability", "deliveryDate", "underlyingType", "marginAsset", "pair"}

    assert not keys & spot().keys()


def test_a_symbol_tells_what_its_prices_and_quantities_are_multiples_of() -> None:
    filters = {found["filterType"]: found for found in spot()["filters"]}

    assert filters["PRICE_FILTER"]["minPrice"] == "0.10000000"
    assert filters["LOT_SIZE"] == {
        "filterType": "LOT_SIZE",
        "minQty": "0.00100000",
        "maxQty": "900.00000000",
        "stepSize": "0.00100000",
    }
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"


def test_of_a_symbol_of_which_nothing_is_said_every_number_is_as_wide_as_can_be() -> None:
    found = spot(Product())

    assert (found["baseAsset"], found["quoteAsset"], found["status"]) == ("BTC", "USDT", "TRADING")
    assert found["filters"][0]["tickSize"] == "0.00000001"
    assert found["filters"][0]["maxPrice"] == "92233720368.00000000"  # 2⁶³ in units of 0.00000001
    assert found["filters"][1]["maxQty"] == "92233720368.00000000"
    assert found["filters"][-1]["minNotional"] == "0.00000000"


def test_trap_11_of_a_symbol_all_sizes_are_text_and_all_precisions_integers() -> None:
    found = spot()
    sizes = [value for one in found["filters"] for key, value in one.items() if key.startswith(("min", "max", "tick"))]

    assert all(isinstance(size, str) for size in sizes)
    assert all(type(value) is int for key, value in found.items() if key.endswith("Precision"))


def test_a_halted_symbol_is_not_active() -> None:
    assert spot(Product(halted=True))["status"] == "HALT"


def test_permissions_can_be_left_out() -> None:
    assert spot()["permissionSets"] == [["SPOT"]]
    assert "permissionSets" not in spot(permissions=False)


def test_a_contract_says_what_kind_it_is_and_when_it_is_delivered() -> None:
    future = Product(product="future", delivery=datetime(2026, 12, 25, 8, tzinfo=UTC))

    assert contract(future)["contractType"] == "CURRENT_QUARTER"
    assert contract(future)["deliveryDate"] == 1_798_185_600_000
    assert contract(SIZED)["contractType"] == "PERPETUAL"
    assert (contract(SIZED)["pricePrecision"], contract(SIZED)["quantityPrecision"]) == (1, 3)


def test_no_limit_is_told_where_there_is_none() -> None:
    assert rate_limits(0) == []
    assert rate_limits(6000)[0].limit == 6000


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCUSDT", "BTC", "USDT"),
        ("ETHBTC", "ETH", "BTC"),
        ("BTCFDUSD", "BTC", "FDUSD"),
        ("BTC-EUR", "BTC", "EUR"),
        ("BTC_USDT", "BTC", "USDT"),
        ("BTC-USDT-SWAP", "BTC", "USDT"),
        ("BTCUSDT_261225", "BTC", "USDT"),
        ("USDT", "USDT", ""),
        ("GOLD", "GOLD", ""),
    ],
)
def test_base_and_quote_are_told_by_the_name_where_nobody_says(symbol: str, base: str, quote: str) -> None:
    assert Product().assets(symbol) == (base, quote)
    assert Product(base="A", quote="B").assets(symbol) == ("A", "B")


def test_coins_are_those_that_symbols_are_made_of() -> None:
    found = to_builtins(coins({"BTCUSDT": SIZED, "ETHUSDT": SIZED, "GOLD": SIZED}))

    assert [coin["coin"] for coin in found] == ["BTC", "ETH", "GOLD", "USDT"]
    assert all("free" not in coin for coin in found)


@pytest.mark.parametrize("name", ["tick_size", "step_size", "min_price", "max_qty"])
def test_a_size_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, expected more than 0"):
        Product(**{name: Decimal(0)})


def test_a_notional_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="min_notional is -1, expected 0 or more"):
        Product(min_notional=Decimal(-1))
