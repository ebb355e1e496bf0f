"""The page in a real Chromium: its numbers are those of the server, whatever happens in between."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq

from exchange_push.edge.web import CHART, FOLDER
from exchange_push.errors import CloseCode
from tests.browser import Browser, Tab
from tests.end_to_end.conftest import Start
from tests.end_to_end.running import LOOPBACK, PATIENCE_S, Running

T = 1_700_000_000_000
LADDER = """(() => {
  const side = (name) => [...document.querySelectorAll(`#book .${name} tr`)]
    .map((row) => [...row.children].map((cell) => cell.textContent.replaceAll(',', '')))
    .filter(([price]) => price !== '');
  const last = Number(document.getElementById('book').dataset.update);
  return { last, asks: side('asks').reverse(), bids: side('bids') };
})()"""
TEXTS = """(() => {
  const rgba = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({
    r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a),
    b: top.b * top.a + under.b * (1 - top.a), a: 1 });
  const light = ({ r, g, b }) => [r, g, b]
    .map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    if (element === null) return { r: 255, g: 255, b: 255, a: 1 };
    const colour = rgba(getComputedStyle(element).backgroundColor);
    return colour.a === 1 ? colour : over(colour, ground(element.parentElement));
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === '' || !element.checkVisibility()) continue;
    if (element.closest('.hidden, .skip') !== null) continue;
    const style = getComputedStyle(element);
    const under = ground(element);
    const [a, b] = [light(over(rgba(style.color), under)), light(under)].sort((x, y) => y - x);
    found.push([texts.currentNode.data.trim(), (a + 0.05) / (b + 0.05)]);
  }
  return found;
})()"""

Open = Callable[..., Awaitable[Tab]]


@pytest_twisted.async_yield_fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests here."""
    found = Browser()
    await found.start()
    yield found
    await found.stop()


@pytest_twisted.async_yield_fixture()
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """Opens a server's page; at the end nothing may have been complained of in its console."""
    tabs: list[Tab] = []

    async def open_one(running: Running, path: str = "", **looks: Any) -> Tab:
        tab = await browser.open(f"http://{LOOPBACK}:{running.port('listen 1')}/{path}", **looks)
        tabs.append(tab)
        await tab.until("page.shown.symbol && page.ladder.book?.inSync && page.chart.loaded")
        return tab

    yield open_one
    for tab in tabs:
        await browser.close(tab)
    assert [tab.complaints for tab in tabs if tab.complaints] == []


class Exchange:
    """Feeds a server, and knows what its book must be as of each update."""

    def __init__(self, running: Running, seed: int = 1) -> None:
        self._running = running
        self._random = random.Random(seed)
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.truth: dict[int, list[list[list[str]]]] = {}
        self.update = 1
        self.trade_id = 0
        self.time = T
        for _ in range(60):
            self._level()
        running.feed(["book", "BTCUSDT", 1, T, *self._levels()])
        self._remember()
        self.trade("50000.5", "0.125")

    def change(self) -> None:
        self.update += 1
        self.time += 50
        changed = [self._level() for _ in range(3)]
        bids, asks = ([list(level) for side, *level in changed if side == number] for number in (0, 1))
        self._running.feed(["depth", "BTCUSDT", self.update, self.update, self.time, bids, asks])
        self._remember()

    def trade(self, price: str, qty: str, side: str = "buy") -> None:
        self.trade_id += 1
        self.time += 10
        self._running.feed(["trade", "BTCUSDT", self.trade_id, price, qty, side, self.time, None])

    def _level(self) -> tuple[int, str, str]:
        side = self._random.randrange(2)
        ticks = self._random.randrange(1, 400)
        price = f"{Decimal(500_000 + (ticks if side else -ticks)) / 10:.1f}"
        qty = "0" if self._random.random() < 0.3 else f"{self._random.randrange(1, 5_000) / 1000:.3f}"
        if qty == "0":
            self._sides[side].pop(price, None)
        else:
            self._sides[side][price] = qty
        return side, price, qty

    def _levels(self) -> tuple[list[list[str]], list[list[str]]]:
        bids, asks = ([[price, side[price]] for price in sorted(side, key=Decimal)] for side in self._sides)
        return bids[::-1], asks

    def _remember(self) -> None:
        self.truth[self.update] = list(self._levels())


def with_totals(levels: list[list[str]]) -> list[list[str]]:
    """Rows of the ladder: price, quantity, and the sum up to there."""
    total, rows = Decimal(0), []
    for price, qty in levels:
        total += Decimal(qty)
        rows.append([price, qty, f"{total:.3f}"])
    return rows


async def check_ladder(tab: Tab, exchange: Exchange) -> int:
    """The ladder as it is now is the server's book as of the update that it says; gives that."""
    await tab.until("'update' in document.getElementById('book').dataset")
    shown = await tab.run(LADDER)
    bids, asks = exchange.truth[shown["last"]]
    rows = max(len(shown["bids"]), len(shown["asks"]))
    assert rows > 7
    assert shown["bids"] == with_totals(bids)[:rows]
    assert shown["asks"] == with_totals(asks)[:rows]
    return int(shown["last"])


async def get(running: Running, path: str) -> Any:
    response = await treq.get(
        f"http://{LOOPBACK}:{running.port('listen 1')}{path}", persistent=False, timeout=PATIENCE_S
    )
    return await response.json()


def text(selector: str) -> str:
    return f"document.querySelector({selector!r}).textContent.replaceAll(',', '')"


def cells(selector: str) -> str:
    """The texts of rows."""
    rows = f"[...document.querySelectorAll({selector!r})]"
    return f"{rows}.map((row) => [...row.children].map((cell) => cell.textContent))"


@pytest_twisted.ensureDeferred
async def test_the_numbers_of_the_page_are_those_of_the_server(start: Start, open_page: Open) -> None:
    running = start()
    exchange = Exchange(running)
    running.feed(
        ["index", "BTCUSDT", "venue", "50001.25", "1", T], ["funding", "BTCUSDT", "0.000125", T + 9_000_000, T]
    )
    for number in range(30):
        exchange.trade(f"{50_000 + number % 7}.5", f"0.{number + 1:03}", "sell" if number % 3 else "buy")
    tab = await open_page(running)
    assert await tab.run("document.title") == "50001.5 BTCUSDT" or await tab.until("document.title.includes('BTCUSDT')")
    seen = set()
    while len(seen) < 10:
        exchange.change()
        seen.add(await check_ladder(tab, exchange))
    await tab.until(f"page.ladder.book.last === {exchange.update} && {LADDER}.last === {exchange.update}")
    await check_ladder(tab, exchange)

    await tab.until(f"{text('[data-figure=mark]')} !== '–' && {text('[data-figure=high]')} !== '–'")
    ticker, [candle] = (
        await get(running, "/v1/ticker?symbol=BTCUSDT"),
        await get(running, "/v1/klines?symbol=BTCUSDT&interval=1d"),
    )
    shown = await tab.run(
        "Object.fromEntries([...document.querySelectorAll('[data-figure]')]"
        ".map((cell) => [cell.dataset.figure, cell.textContent.replaceAll(',', '')]))"
    )
    assert (shown["symbol"], shown["last"], shown["high"], shown["low"]) == (
        "BTCUSDT", ticker["last"], ticker["high"], ticker["low"],
    )  # fmt: skip
    assert shown["funding"] == "+0.0125%"
    mark = Decimal(await tab.run("page.account.markOf('BTCUSDT')"))
    assert abs(Decimal(shown["mark"]) - mark) <= Decimal("0.05")
    assert await tab.run(text("#markets .last")) == ticker["last"]
    trades = await get(running, "/v1/trades?symbol=BTCUSDT")
    tape = await tab.run(cells("#tape tbody tr"))
    signs = {"buy": "▲", "sell": "▼"}
    assert [row[:2] for row in tape] == [
        [f"{signs[each['side']]} {Decimal(each['price']):,}", each["qty"]] for each in reversed(trades)
    ]
    # Both axes of the chart: prices with the symbol's digits, volumes in short.
    assert await tab.run("page.chart.series.priceFormatter().format(50001.5)") == "50,001.5"
    assert await tab.run("page.chart.volume.priceFormatter().format(25000)") == "25K"
    assert await tab.run("page.chart.chart.options().localization.priceFormatter === undefined")
    await tab.run("document.querySelector('#intervals input[value=\"1d\"]').click()")
    await tab.until(f"page.shown.interval === '1d' && {text('[data-candle=close]')} !== '–'")
    for field in ("open", "high", "low", "close", "volume"):
        assert await tab.run(text(f"[data-candle={field}]")) == candle[field], field


@pytest_twisted.ensureDeferred
async def test_after_a_kick_and_a_gap_the_book_is_right_again(start: Start, open_page: Open) -> None:
    running = start()
    exchange = Exchange(running)
    tab = await open_page(running)
    await tab.run("page.client.on('gap', () => (globalThis.gaps = (globalThis.gaps ?? 0) + 1))")
    await tab.run("page.client.on('closed', ({ code }) => (globalThis.code = code))")
    [session] = running.server.hub.sessions.values()
    session.disconnect(CloseCode.TOO_SLOW, "kicked by the test")
    await tab.until("document.getElementById('book').hasAttribute('data-stale')")
    for _ in range(20):
        exchange.change()
    await tab.until(f"{LADDER}.last === {exchange.update}")
    await check_ladder(tab, exchange)
    assert await tab.run("[document.getElementById('status').textContent, globalThis.code]") == ["Live", 4008]
    assert not await tab.run("document.getElementById('book').hasAttribute('data-stale')")

    await tab.run("globalThis.seen = []")
    watch = "() => seen.push(document.getElementById('book').hasAttribute('data-stale'))"
    await tab.run(f"new MutationObserver({watch}).observe(document.getElementById('book'), {{ attributes: true }}), 0")
    await tab.run("(page.shown.subscriptions[0].book.last = -1)")
    exchange.change()
    await tab.until("globalThis.gaps === 1 && page.ladder.book.inSync")
    assert await tab.run("seen.includes(true)")
    exchange.change()
    await tab.until(f"{LADDER}.last === {exchange.update}")
    await check_ladder(tab, exchange)


@pytest_twisted.ensureDeferred
async def test_who_logs_in_sees_what_is_theirs_and_loses_nothing_by_a_kick(start: Start, open_page: Open) -> None:
    running = start()
    Exchange(running)
    tab = await open_page(running)
    log_in = "document.getElementById('token').value = '{}'; document.getElementById('login').requestSubmit()"
    await tab.run(f"(() => {{ {log_in.format('wrong')} }})()")
    assert await tab.until("document.getElementById('told').textContent === 'login refused: unknown token'")
    await tab.run(f"(() => {{ {log_in.format('***')} }})()")
    await tab.until("page.client.loggedIn")
    await running.until(
        lambda: running.server.desk.channels("1001@", 10) == {"1001@balance": 1, "1001@order": 1, "1001@position": 1}
    )

    def order(number: int, filled: str) -> dict[str, object]:
        return {"orderId": number, "symbol": "BTCUSDT", "side": "sell", "type": "limit", "price": "50000.5",
                "qty": "0.5", "filled": filled, "status": "NEW" if filled == "0" else "FILLED", "time": T}  # fmt: skip

    running.feed(["user", 1001, "balance", {"asset": "USDT", "balance": "99999.123456789", "time": T}])
    running.feed(["user", 1001, "order", order(1, "0")])
    await tab.until("page.account.orders.size === 1 && page.account.balances.size === 1")
    [session] = running.server.hub.sessions.values()
    session.disconnect(CloseCode.OVERLOADED, "kicked by the test")
    await running.until(lambda: not running.server.hub.sessions)
    running.feed(["user", 1001, "order", order(1, "0.5")], ["user", 1001, "order", order(2, "0")])
    running.feed(["user", 1001, "position", {"symbol": "BTCUSDT", "qty": "-0.5", "entryPrice": "50001", "time": T}])
    await tab.until("page.account.orders.size === 2 && page.account.positions.size === 1")
    rows = cells("#account tbody tr")
    await tab.until(f"{rows}.length === 4")
    shown = await tab.run(rows)

    assert [row[1:] for row in shown[:2]] == [
        ["BTCUSDT", "▼ sell", "50,000.5", "0 / 0.5", "new"],
        ["BTCUSDT", "▼ sell", "50,000.5", "0.5 / 0.5", "filled"],
    ]
    assert shown[2][:3] == ["BTCUSDT", "▼ −0.5", "50,001.0"]
    assert shown[3] == ["USDT", "99,999.123456789"]
    assert await tab.run(text("#told")) == ""
    await tab.run("document.getElementById('logout').click()")
    await running.until(lambda: running.server.desk.channels("1001@", 10) == {})
    assert await tab.run(rows) == []


@pytest_twisted.ensureDeferred
async def test_what_others_say_is_text_and_never_markup(start: Start, open_page: Open) -> None:
    running = start()
    Exchange(running)
    evil = "<img src=x onerror=globalThis.evil=1><script>globalThis.evil=1</script>"
    tab = await open_page(running, "#%3Cimg%20src%3Dx%3E/1m")
    await tab.run("document.getElementById('token').value = '***'")
    await tab.run("document.getElementById('login').requestSubmit()")
    await tab.until("page.client.loggedIn && page.client.has('@order')")
    await running.until(lambda: running.server.desk.channels("1001@order", 1) == {"1001@order": 1})
    order = {
        "orderId": 1,
        "symbol": evil,
        "side": evil,
        "price": "1",
        "qty": evil,
        "filled": "1",
        "status": evil,
        "time": T,
    }
    running.feed(["user", 1001, "order", order], ["user", 1001, "balance", {"asset": evil, "balance": "1"}])
    for odd in (
        {"orderId": 2},
        {"orderId": 3, "price": 5, "qty": [], "filled": {}, "status": None},
        [],
        "text",
        7,
        None,
    ):
        running.feed(["user", 1001, "order", odd], ["user", 1001, "position", odd])
    running.feed(["user", 1001, "balance", {"BTC": {"available": "1234.5", "frozen": "0"}, "ETH": None}])
    await tab.until("page.account.orders.size === 3 && document.querySelectorAll('#account tbody tr').length === 6")

    shown = await tab.run(cells("#account tbody tr"))
    assert shown[2][1] == evil
    assert shown[3:] == [[evil, "1"], ["BTC", "1,234.5 / 0"], ["ETH", "–"]]
    assert await tab.run("document.querySelectorAll('main img, main script').length") == 0
    assert await tab.run("globalThis.evil ?? null") is None
    assert await tab.run("document.documentElement.scrollWidth <= innerWidth")


@pytest_twisted.ensureDeferred
async def test_what_may_be_old_is_marked(start: Start, open_page: Open) -> None:
    running = start(feed__stale_ms=400)
    exchange = Exchange(running)
    tab = await open_page(running)
    marked = "[...document.querySelectorAll('[data-stale]')].map(({ id }) => id).join()"
    await tab.until(f"{marked} === 'quote,chart,book,depth,tape'")
    assert await tab.run("getComputedStyle(document.querySelector('#book .badge')).display") != "none"
    exchange.change()
    await tab.until(f"{marked} === ''")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest_twisted.ensureDeferred
async def test_it_fits_every_width_and_every_text_can_be_read(start: Start, open_page: Open, theme: str) -> None:
    running = start(market__symbols=["BTCUSDT", "ETHUSDT"])
    exchange = Exchange(running)
    tab = await open_page(running, theme=theme)
    await tab.run("document.getElementById('token').value = '***'")
    await tab.run("document.getElementById('login').requestSubmit()")
    await tab.until("page.client.loggedIn")
    assert await tab.run("document.documentElement.dataset.theme") == theme
    for width, height in ((360, 740), (768, 1024), (1180, 800), (1440, 900), (2560, 1300)):
        await tab.resize(width, height)
        for view in ("markets", "chart", "book", "tape", "account"):
            await tab.run(f"document.querySelector('#views [data-to={view}]').click()")
            exchange.change()
            await tab.until(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
            )
            assert await tab.run("document.documentElement.scrollWidth") <= width, (width, view)
            texts = await tab.run(TEXTS)
            assert len(texts) > 10, (width, view)
            assert [each for each in texts if each[1] < 4.5] == [], (width, view)


@pytest_twisted.ensureDeferred
async def test_markets_and_intervals_are_chosen_by_keys_and_kept_in_the_address(start: Start, open_page: Open) -> None:
    running = start()
    Exchange(running)
    running.feed(
        ["trade", "ETHUSDT", 1, "3400.25", "1", "buy", T, None], ["book", "ETHUSDT", 1, T, [["1", "1"]], [["2", "1"]]]
    )
    tab = await open_page(running, "#ETHUSDT/5m")
    assert await tab.run("[page.shown.symbol, page.shown.interval]") == ["ETHUSDT", "5m"]

    async def press(key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            text = "\r" if key == "Enter" and kind == "keyDown" else None
            await tab.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode={"Enter": 13, "ArrowUp": 38, "ArrowRight": 39}[key],
                **({"text": text} if text else {}),
            )

    await tab.run("document.querySelector('#markets [aria-current]').focus()")
    await press("ArrowUp")
    await press("Enter")
    await tab.until("page.shown.symbol === 'BTCUSDT' && page.ladder.book?.inSync")
    await tab.run("document.querySelector('#intervals input:checked').focus()")
    await press("ArrowRight")
    await tab.until("page.shown.interval === '15m'")
    assert await tab.run("location.hash") == "#BTCUSDT/15m"
    await tab.run("(location.hash = '#ETHUSDT/1h')")
    await tab.until("page.shown.symbol === 'ETHUSDT' && page.shown.interval === '1h'")
    await tab.run("(location.hash = '#%/nothing')")
    await tab.run("(location.hash = '#BTCUSDT')")
    await tab.until("page.shown.symbol === 'BTCUSDT' && page.shown.interval === '1h'")


@pytest_twisted.ensureDeferred
async def test_candles_are_drawn_by_the_library_where_the_package_has_it(start: Start, open_page: Open) -> None:
    running = start()
    exchange = Exchange(running)
    for _ in range(50):
        exchange.time += 1_000
        exchange.trade("50000.5", "1")
    tab = await open_page(running, "#BTCUSDT/1s")
    if (FOLDER / CHART).exists():
        candles = await get(running, "/v1/klines?symbol=BTCUSDT&interval=1s")
        assert len(candles) > 45
        await tab.until(f"page.chart.series.data().length >= {len(candles)}")
        exchange.time += 1_000
        exchange.trade("50009.5", "2")
        await tab.until(f"page.chart.series.data().length > {len(candles)}")
        await tab.until("page.chart.series.data().some(({ open, close }) => open === 50009.5 && close === 50009.5)")
        assert await tab.run("page.chart.volume.data().filter(({ value }) => value === 2).length") == 1
    else:
        assert "without the chart library" in await tab.run(text("#chart .note"))


@pytest_twisted.ensureDeferred
async def test_a_chart_that_is_moved_back_asks_for_what_was_before(
    start: Start, open_page: Open, tmp_path: Path
) -> None:
    running = start(store=str(tmp_path / "store"))
    exchange = Exchange(running)
    for _ in range(700):
        exchange.time += 1_000
        exchange.trade("50000.5", "1")
    await running.until(lambda: running.server.board.trades > 700)
    tab = await open_page(running, "#BTCUSDT/1s")
    shown = await tab.run("page.chart.candles.size")
    assert 500 <= shown < 600
    # What pulling the chart to the right does; the library looks where its window is.
    await tab.run("page.chart.chart?.timeScale().scrollToPosition(-480, false)")
    if (FOLDER / CHART).exists():
        await tab.until("page.chart.candles.size > 690 && page.chart.series.data().length === page.chart.candles.size")


@pytest_twisted.ensureDeferred
async def test_without_the_chart_library_all_else_works(start: Start, browser: Browser) -> None:
    running = start()
    exchange = Exchange(running)
    tab = await browser.open("about:blank")
    # What its file does when it is there: it sets this name.
    script = "Object.defineProperty(globalThis, 'LightweightCharts', { get: () => undefined, set: () => undefined })"
    await tab.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    await tab.call("Page.navigate", url=f"http://{LOOPBACK}:{running.port('listen 1')}/")
    await tab.until("page.ladder.book?.inSync && page.chart.loaded")
    await check_ladder(tab, exchange)
    assert "without the chart library" in await tab.run(text("#chart .note"))
    await tab.until(f"{text('[data-candle=close]')} === '50000.5'")
    assert tab.complaints == []
    await browser.close(tab)


@pytest_twisted.ensureDeferred
async def test_the_page_is_on_the_public_port_only_and_may_be_turned_off(start: Start) -> None:
    async def status(running: Running, listener: str, path: str) -> int:
        url = f"http://{LOOPBACK}:{running.port(listener)}{path}"
        return int((await treq.get(url, persistent=False, timeout=PATIENCE_S)).code)

    shown, hidden = start(), start(clients__page=False)
    for path in ("/", "/web/page.mjs", "/web/exchange-push.mjs"):
        assert await status(shown, "listen 1", path) == 200
        assert await status(shown, "api", path) == 404
        assert await status(hidden, "listen 1", path) == 404
    for path in ("/web/", "/web/../config.py", "/web/%2e%2e/config.py", "/web/index.html"):
        assert await status(shown, "listen 1", path) == 404
    assert await status(hidden, "listen 1", "/v1/symbols") == 200


@pytest_twisted.ensureDeferred
async def test_a_server_without_a_market_says_so_and_shows_the_first_that_comes(start: Start, browser: Browser) -> None:
    running = start()
    tab = await browser.open(f"http://{LOOPBACK}:{running.port('listen 1')}/")
    await tab.until(f"{text('#markets .none')} === 'No market yet: the server has heard of none.'")
    running.feed(["book", "BTCUSDT", 1, T, [["1.5", "1"]], [["2.5", "1"]]])  # no trade, so no ticker

    await tab.until("page.shown.symbol === 'BTCUSDT' && page.ladder.book?.inSync")
    assert await tab.run(text("#markets .none")) == ""
    assert tab.complaints == []
    await browser.close(tab)


@pytest_twisted.ensureDeferred
async def test_a_chart_that_is_left_open_for_weeks_holds_a_bounded_number_of_candles(
    start: Start, open_page: Open
) -> None:
    running = start()
    Exchange(running)
    tab = await open_page(running, "#BTCUSDT/1s")
    await tab.run("(globalThis.candle = [...page.chart.candles.values()].at(-1))")
    asked = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('v1/klines')).length"
    before = await tab.run(asked)
    later, earlier = (f"({{ ...candle, start: candle.start {sign} n * 1000 }})" for sign in "+-")
    await tab.run(f"(() => {{ for (let n = 1; n <= 1100; n += 1) page.chart.take({later}); }})()")
    assert await tab.run("page.chart.pending.size") <= 500
    await tab.until(f"{asked} === {before + 1} && page.chart.pending.size === 0")

    fill = f"page.chart.candles.set(candle.start - n * 1000, {earlier})"
    await tab.run(f"(() => {{ for (let n = 1; n <= 10500; n += 1) {fill}; }})()")
    await tab.run("page.chart.load().then(() => page.chart.chart.timeScale().scrollToRealTime())")
    newest = await tab.run("page.chart.newest")
    await tab.run("page.chart.take({ ...candle, start: page.chart.newest + 1000 })")
    await tab.until(f"page.chart.newest > {newest}")
    assert await tab.run("page.chart.candles.size") < 7_000
    assert await tab.run("page.chart.candles.has(page.chart.newest)")
