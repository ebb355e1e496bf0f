"""What fills do to a demo user: one wallet in USDT, and a perpetual position in each symbol. Exact, no clock."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from exchange_push.demo.matching import Fill, Instrument, Order

_CENT: Final = Decimal("0.00000001")  # prices that are averages, and money, are kept to that


class Position(NamedTuple):
    qty: Decimal
    """Below 0: short."""
    entry: Decimal
    """Average price of what is held; 0: nothing is."""


class Account:
    """The money and positions of one user."""

    def __init__(self, uid: int, balance: Decimal) -> None:
        self.uid = uid
        self.balance = balance
        self.positions: dict[str, Position] = {}

    def fill(self, symbol: str, qty: Decimal, price: Decimal) -> None:
        """Bought `qty` (below 0: sold) at `price`: what it closes is paid out, what it opens is averaged in."""
        held = self.positions.get(symbol, Position(Decimal(0), Decimal(0)))
        after = held.qty + qty
        if held.qty * qty >= 0:
            cost = abs(held.qty) * held.entry + abs(qty) * price
            self.positions[symbol] = Position(after, _rounded(cost / abs(after)))
            return
        closed = min(abs(held.qty), abs(qty)) * (1 if held.qty > 0 else -1)
        self.balance = _rounded(self.balance + closed * (price - held.entry))
        if not after:
            entry = Decimal(0)
        elif after * held.qty > 0:
            entry = held.entry
        else:
            entry = price
        self.positions[symbol] = Position(after, entry)

    def balance_data(self, now_ms: int) -> dict[str, object]:
        return {"asset": "USDT", "balance": f"{self.balance:f}", "time": now_ms}

    def position_data(self, symbol: str, now_ms: int) -> dict[str, object]:
        position = self.positions[symbol]
        return {"symbol": symbol, "qty": f"{position.qty:f}", "entryPrice": f"{position.entry:f}", "time": now_ms}


def order_data(
    instrument: Instrument, order: Order, ended: bool, now_ms: int, fill: Fill | None = None, filled: int | None = None
) -> dict[str, object]:
    """An order as its user is told of it; `ended`: nothing of it waits any more. With a `fill` it is as of that one,
    `filled` by then where there came others after it."""
    filled = order.filled if filled is None else filled
    if filled == order.qty:
        status = "FILLED"
    elif ended:
        status = "CANCELED"
    else:
        status = "PARTIALLY_FILLED" if filled else "NEW"
    told = {
        "orderId": order.id,
        "symbol": instrument.symbol,
        "side": order.side,
        "type": "market" if order.price is None else "limit",
        "price": None if order.price is None else instrument.price(order.price),
        "qty": instrument.qty(order.qty),
        "filled": instrument.qty(filled),
        "status": status,
        "time": now_ms,
    }
    if fill is not None:
        told["lastQty"], told["lastPrice"] = instrument.qty(fill.qty), instrument.price(fill.price)
        told["tradeId"], told["maker"] = fill.id, order is fill.maker
    return told


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_CENT, ROUND_HALF_EVEN)
