from decimal import Decimal

from exchange_push.beside import demo_products
from exchange_push.config import Config
from exchange_push.demo.crowd import LISTINGS
from exchange_push.market.product import Product


def test_the_demos_symbols_say_what_their_prices_and_quantities_are_multiples_of() -> None:
    products = demo_products(Config())

    for instrument in (listing.instrument for listing in LISTINGS):
        product = products[instrument.symbol]
        assert Decimal(instrument.price(1)) == product.tick_size
        assert Decimal(instrument.qty(1)) == product.step_size
    assert products["DOGEUSDT"].assets("DOGEUSDT") == ("DOGE", "USDT")


def test_what_the_operator_says_of_a_symbol_holds_with_the_demo_too() -> None:
    own = Product(tick_size=Decimal("0.5"))

    assert demo_products(Config(symbols={"BTCUSDT": own, "X": own})).items() >= {"BTCUSDT": own, "X": own}.items()
