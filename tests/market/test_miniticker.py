from tests.market.exchange import Exchange, book, trade

T = 1_700_000_000_000


def test_it_has_few_of_the_tickers_figures_every_second() -> None:
    exchange = Exchange("miniticker", "ticker")
    exchange.apply(trade(1, "50000.1", "2", T + 100), trade(2, "51000", "1", T + 200))
    exchange.run(3_000)
    minis, tickers = exchange.sent("S@miniticker"), exchange.sent("S@ticker")
    assert minis[0] == {
        "symbol": "S",
        "open": "50000.1",
        "high": "51000",
        "low": "50000.1",
        "last": "51000",
        "volume": "3",
        "quoteVolume": "151000.2",
        "closeTime": T + 1_000,
    }
    assert len(minis) == len(tickers) > 1
    assert all(mini.items() <= ticker.items() for mini, ticker in zip(minis, tickers, strict=True))
    assert exchange.state("S@miniticker") == minis[-1]


def test_the_array_of_all_has_those_of_which_it_shows_a_change() -> None:
    exchange = Exchange("*@miniticker", "*@ticker")
    exchange.apply(trade(1, "7", "1", T), trade(1, "8", "1", T, symbol="OTHER"))
    exchange.run(2_000)
    exchange.apply(book(1, T + 2_000, [("6", "1")], []), trade(2, "9", "1", T + 2_100, symbol="OTHER"))
    exchange.run(2_000)
    assert [[data["symbol"] for data in sent] for sent in exchange.sent("*@miniticker")] == [["S", "OTHER"], ["OTHER"]]
    full = [data["symbol"] for sent in exchange.sent("*@ticker")[1:] for data in sent]
    assert sorted(full) == ["OTHER", "S"]  # the book of S shows there
    assert [data["symbol"] for data in exchange.state("*@miniticker")] == ["S", "OTHER"]
