"""`exchangeInfo`: what clients read of a venue and its symbols before they do anything else.

PRICE_FILTER stands first and a spot symbol has no `contractType`: clients take the one by its place, and the other's
presence for a derivative.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from exchange_push.market.exact import plain
from exchange_push.market.product import Product
from exchange_push.wire.dialects.binance.amount import Amount, amount

STATUSES: Final = ("TRADING", "HALT", "BREAK")
PERMISSION: Final = "SPOT"

_PRECISION: Final = 8
_HIGHEST: Final = Decimal("92233720368")  # where nothing is configured: clients count 0.00000001 in 64 bits
_NEVER_MS: Final = 4_133_404_800_000  # the delivery of what has none, as Binance writes it: 2100-12-25

Empty: TypeAlias = Annotated[list[Any], Meta(max_length=0)]


class RateLimit(Struct, frozen=True, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class UsedLimit(RateLimit, frozen=True, rename="camel"):
    count: int


class PriceFilter(Struct, frozen=True, rename="camel", tag_field="filterType", tag="PRICE_FILTER"):
    min_price: Amount
    max_price: Amount
    tick_size: Amount


class LotSize(Struct, frozen=True, rename="camel", tag_field="filterType", tag="LOT_SIZE"):
    min_qty: Amount
    max_qty: Amount
    step_size: Amount


class MarketLotSize(LotSize, frozen=True, rename="camel", tag="MARKET_LOT_SIZE"):
    pass


class Notional(Struct, frozen=True, rename="camel", tag_field="filterType", tag="NOTIONAL"):
    min_notional: Amount
    apply_min_to_market: bool
    max_notional: Amount
    apply_max_to_market: bool
    avg_price_mins: int


class MinNotional(Struct, frozen=True, tag_field="filterType", tag="MIN_NOTIONAL"):
    notional: Amount


Sizes: TypeAlias = PriceFilter | LotSize | MarketLotSize


class SpotSymbol(Struct, frozen=True, rename="camel", kw_only=True):
    symbol: str
    status: str
    base_asset: str
    base_asset_precision: int
    quote_asset: str
    quote_precision: int
    quote_asset_precision: int
    base_commission_precision: int
    quote_commission_precision: int
    order_types: list[str]
    iceberg_allowed: bool
    oco_allowed: bool
    oto_allowed: bool
    quote_order_qty_market_allowed: bool
    allow_trailing_stop: bool
    cancel_replace_allowed: bool
    is_spot_trading_allowed: bool
    is_margin_trading_allowed: bool
    filters: list[Sizes | Notional]
    permissions: Empty
    permission_sets: list[list[str]] | UnsetType = UNSET
    default_self_trade_prevention_mode: str
    allowed_self_trade_prevention_modes: list[str]


class SpotInfo(Struct, frozen=True, rename="camel"):
    timezone: str
    server_time: int
    rate_limits: list[RateLimit]
    exchange_filters: Empty
    symbols: list[SpotSymbol]


class Contract(Struct, frozen=True, rename="camel"):
    symbol: str
    pair: str
    contract_type: str
    delivery_date: int
    onboard_date: int
    status: str
    base_asset: str
    quote_asset: str
    margin_asset: str
    price_precision: int
    quantity_precision: int
    base_asset_precision: int
    quote_precision: int
    underlying_type: str
    underlying_sub_type: Empty
    filters: list[Sizes | MinNotional]
    order_types: list[str]
    time_in_force: list[str]


class Margin(Struct, frozen=True, rename="camel"):
    asset: str
    margin_available: bool
    auto_asset_exchange: str


class FuturesInfo(Struct, frozen=True, rename="camel"):
    timezone: str
    server_time: int
    futures_type: str
    rate_limits: list[RateLimit]
    exchange_filters: Empty
    assets: list[Margin]
    symbols: list[Contract]


class Coin(Struct, frozen=True, rename="camel"):
    coin: str
    name: str
    trading: bool
    deposit_all_enable: bool
    withdraw_all_enable: bool
    is_legal_money: bool
    network_list: Empty


def rate_limits(weight_per_minute: int) -> list[RateLimit]:
    """None where there is no limit."""
    return [RateLimit("REQUEST_WEIGHT", "MINUTE", 1, weight_per_minute)] if weight_per_minute else []


def status_of(product: Product) -> str:
    return "HALT" if product.halted else "TRADING"


def spot_info(
    symbols: Mapping[str, Product], limits: list[RateLimit], now_ms: int, *, permissions: bool = True
) -> SpotInfo:
    return SpotInfo(
        timezone="UTC",
        server_time=now_ms,
        rate_limits=limits,
        exchange_filters=[],
        symbols=[_spot(symbol, product, permissions) for symbol, product in symbols.items()],
    )


def futures_info(symbols: Mapping[str, Product], limits: list[RateLimit], now_ms: int) -> FuturesInfo:
    contracts = [_contract(symbol, product) for symbol, product in symbols.items()]
    return FuturesInfo(
        timezone="UTC",
        server_time=now_ms,
        futures_type="U_MARGINED",
        rate_limits=limits,
        exchange_filters=[],
        assets=[Margin(asset, True, "0") for asset in dict.fromkeys(contract.margin_asset for contract in contracts)],
        symbols=contracts,
    )


def coins(symbols: Mapping[str, Product]) -> list[Coin]:
    """What is traded. Nothing can be deposited or withdrawn here, and what of it somebody has is not told."""
    assets = {asset for symbol, product in symbols.items() for asset in product.assets(symbol)}
    return [
        Coin(
            coin=asset,
            name=asset,
            trading=True,
            deposit_all_enable=False,
            withdraw_all_enable=False,
            is_legal_money=False,
            network_list=[],
        )
        for asset in sorted(assets)
        if asset
    ]


def _spot(symbol: str, product: Product, permissions: bool) -> SpotSymbol:
    base, quote = product.assets(symbol)
    return SpotSymbol(
        symbol=symbol,
        status=status_of(product),
        base_asset=base,
        base_asset_precision=_PRECISION,
        quote_asset=quote,
        quote_precision=_PRECISION,
        quote_asset_precision=_PRECISION,
        base_commission_precision=_PRECISION,
        quote_commission_precision=_PRECISION,
        order_types=["LIMIT", "MARKET"],
        iceberg_allowed=False,
        oco_allowed=False,
        oto_allowed=False,
        quote_order_qty_market_allowed=False,
        allow_trailing_stop=False,
        cancel_replace_allowed=False,
        is_spot_trading_allowed=True,
        is_margin_trading_allowed=False,
        filters=[
            *_sizes(product),
            Notional(
                min_notional=_number(product.min_notional),
                apply_min_to_market=True,
                max_notional=_number(_HIGHEST),
                apply_max_to_market=False,
                avg_price_mins=5,
            ),
        ],
        permissions=[],
        permission_sets=[[PERMISSION]] if permissions else UNSET,
        default_self_trade_prevention_mode="NONE",
        allowed_self_trade_prevention_modes=["NONE"],
    )


def _contract(symbol: str, product: Product) -> Contract:
    base, quote = product.assets(symbol)
    delivery = product.delivery_ms
    return Contract(
        symbol=symbol,
        pair=base + quote,
        contract_type="PERPETUAL" if product.perpetual else "CURRENT_QUARTER",
        delivery_date=_NEVER_MS if delivery is None else delivery,
        onboard_date=0,
        status=status_of(product),
        base_asset=base,
        quote_asset=quote,
        margin_asset=quote,
        price_precision=_digits(product.tick_size),
        quantity_precision=_digits(product.step_size),
        base_asset_precision=_PRECISION,
        quote_precision=_PRECISION,
        underlying_type="COIN",
        underlying_sub_type=[],
        filters=[*_sizes(product), MinNotional(_number(product.min_notional))],
        order_types=["LIMIT", "MARKET"],
        time_in_force=["GTC"],
    )


def _sizes(product: Product) -> tuple[Sizes, ...]:
    tick, step = product.tick_size, product.step_size
    prices = _number(product.min_price or tick), _number(product.max_price or _HIGHEST), _number(tick)
    lots = _number(product.min_qty or step), _number(product.max_qty or _HIGHEST), _number(step)
    return PriceFilter(*prices), LotSize(*lots), MarketLotSize(*lots)


def _number(value: Decimal) -> str:
    return amount(plain(value))


def _digits(step: Decimal) -> int:
    """Decimals of a step: 2 of 0.010."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
