"""A server that starts on a past that was loaded."""

from pathlib import Path

import pytest_twisted

from exchange_push.load import main
from tests.end_to_end.conftest import Start
from tests.end_to_end.test_history import page

T = 1_704_067_200_000  # 2024-01-01
MINUTE = 60_000
END = T + 31 * 1_440 * MINUTE


@pytest_twisted.ensureDeferred
async def test_a_server_goes_on_from_a_month_that_was_loaded(start: Start, tmp_path: Path) -> None:
    store, file = str(tmp_path / "store"), tmp_path / "BTCUSDT-1m-2024-01.csv"
    with file.open("w") as rows:
        for minute in range(31 * 1_440):
            at, price = T + minute * MINUTE, 40_000 + minute % 997
            rows.write(f"{at},{price},{price + 5},{price - 5},{price + 1},2,{at + 59_999},{2 * price},3,1,{price},0\n")
    main([str(file), "--symbol", "BTCUSDT", "--kind", "candles", "--interval", "1m", "--store", store])

    running = start(store=store)
    client = await running.client("BTCUSDT@kline_1d")
    running.feed(["trade", "BTCUSDT", 70, "41000", "0.5", "buy", END + 30_000, None])
    data = await client.event("BTCUSDT@kline_1d")
    while data["firstId"] != 70:
        data = await client.event("BTCUSDT@kline_1d")
    assert (data["start"], data["volume"], data["complete"]) == (END, "0.5", False)

    for name, count, each in (("1h", 31 * 24, 180), ("1d", 31, 4_320)):
        status, candles = await page(
            running, "/v1/klines", symbol="BTCUSDT", interval=name, from_=T, to=END, limit=1_000
        )
        assert status == 200
        assert [candle["count"] for candle in candles] == [each] * count
        assert all(candle["complete"] and candle["closed"] and candle["rev"] == 0 for candle in candles)
    status, [week] = await page(running, "/v1/klines", symbol="BTCUSDT", interval="1w", limit=1)
    assert (week["start"], week["count"], week["complete"]) == (T + 28 * 1_440 * MINUTE, 3 * 4_320 + 1, False)
    listener = await running.client("BTCUSDT@ticker")
    ticker = await listener.event("BTCUSDT@ticker")
    while ticker["closeTime"] < END:
        ticker = await listener.event("BTCUSDT@ticker")
    assert ticker["count"] >= 4_318  # from the first whole minute in the window on, or the one before
    assert ticker["lastId"] in (70, -1)
