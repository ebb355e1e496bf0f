"""`exchangeInfo`: what clients read of a venue and its symbols before they do anything else.

PRICE_FILTER stands first and a spot symbol has no `contractType`: clients take the one by its place, and the other's
presence for a derivative.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from exchange_push.market.exact import plain
from exchange_push.market.product import Product
from exchange_push.wire.dialects.binance.amount import amount

STATUSES: Final = ("TRADING", "HALT", "BREAK")
PERMISSION: Final = "SPOT"

_PRECISION: Final = 8
_HIGHEST: Final = Decimal("92233720368")  # where nothing is configured: clients count 0.00000001 in 64 bits
_NEVER_MS: Final = 4_133_404_800_000  # the delivery of what has none, as Binance writes it: 2100-12-25

Info = dict[str, object]


def rate_limits(weight_per_minute: int) -> list[Info]:
    """None where there is no limit."""
    if not weight_per_minute:
        return []
    return [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_per_minute}]


def status_of(product: Product) -> str:
    return "HALT" if product.halted else "TRADING"


def spot_info(symbols: Mapping[str, Product], limits: list[Info], now_ms: int, *, permissions: bool = True) -> Info:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": limits,
        "exchangeFilters": [],
        "symbols": [_spot(symbol, product, permissions) for symbol, product in symbols.items()],
    }


def futures_info(symbols: Mapping[str, Product], limits: list[Info], now_ms: int) -> Info:
    contracts = [_contract(symbol, product) for symbol, product in symbols.items()]
    margins = dict.fromkeys(contract["marginAsset"] for contract in contracts)
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in margins],
        "symbols": contracts,
    }


def coins(symbols: Mapping[str, Product]) -> list[Info]:
    """What is traded. Nothing can be deposited or withdrawn here, and what of it somebody has is not told."""
    assets = {asset for symbol, product in symbols.items() for asset in product.assets(symbol)}
    return [
        {
            "coin": asset,
            "name": asset,
            "trading": True,
            "depositAllEnable": False,
            "withdrawAllEnable": False,
            "isLegalMoney": False,
            "networkList": [],
        }
        for asset in sorted(assets)
        if asset
    ]


def _spot(symbol: str, product: Product, permissions: bool) -> Info:
    base, quote = product.assets(symbol)
    return {
        "symbol": symbol,
        "status": status_of(product),
        "baseAsset": base,
        "baseAssetPrecision": _PRECISION,
        "quoteAsset": quote,
        "quotePrecision": _PRECISION,
        "quoteAssetPrecision": _PRECISION,
        "baseCommissionPrecision": _PRECISION,
        "quoteCommissionPrecision": _PRECISION,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": False,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_sizes(product),
            {
                "filterType": "NOTIONAL",
                "minNotional": _number(product.min_notional),
                "applyMinToMarket": True,
                "maxNotional": _number(_HIGHEST),
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        **({"permissionSets": [[PERMISSION]]} if permissions else {}),
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _contract(symbol: str, product: Product) -> Info:
    base, quote = product.assets(symbol)
    delivery = product.delivery_ms
    return {
        "symbol": symbol,
        "pair": base + quote,
        "contractType": "PERPETUAL" if product.perpetual else "CURRENT_QUARTER",
        "deliveryDate": _NEVER_MS if delivery is None else delivery,
        "onboardDate": 0,
        "status": status_of(product),
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": _digits(product.tick_size),
        "quantityPrecision": _digits(product.step_size),
        "baseAssetPrecision": _PRECISION,
        "quotePrecision": _PRECISION,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": [*_sizes(product), {"filterType": "MIN_NOTIONAL", "notional": _number(product.min_notional)}],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }


def _sizes(product: Product) -> list[Info]:
    tick, step = product.tick_size, product.step_size
    lot = {
        "minQty": _number(product.min_qty or step),
        "maxQty": _number(product.max_qty or _HIGHEST),
        "stepSize": _number(step),
    }
    prices = {
        "minPrice": _number(product.min_price or tick),
        "maxPrice": _number(product.max_price or _HIGHEST),
        "tickSize": _number(tick),
    }
    return [
        {"filterType": "PRICE_FILTER", **prices},
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
    ]


def _number(value: Decimal) -> str:
    return amount(plain(value))


def _digits(step: Decimal) -> int:
    """Decimals of a step: 2 of 0.010."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
