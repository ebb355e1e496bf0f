"""`make screenshots`: a picture of each view of the page of a running demo, into docs/images/."""

import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from tests.browser import Browser

FOLDER = Path(__file__).parent.parent / "docs" / "images"
_WAIT_S = 6.0  # for orders of the demo's user to come in


async def shoot(reactor: Any, url: str) -> None:
    browser = Browser()
    await browser.start()
    FOLDER.mkdir(exist_ok=True)
    try:
        for theme in ("dark", "light"):
            tab = await browser.open(url, theme=theme)
            await tab.until("page.shown.symbol && page.chart.loaded && page.ladder.book?.inSync")
            await tab.run("document.querySelector('#demo-tokens button').click()")
            await tab.until("page.account.orders.size > 2 && page.account.positions.size > 1")
            await deferLater(reactor, 0.5)
            await save(tab, f"desktop-{theme}")
            await browser.close(tab)
            tab = await browser.open(url, theme=theme, width=360, height=740)
            await tab.until("page.shown.symbol && page.chart.loaded && page.ladder.book?.inSync")
            for view in ("markets", "chart", "book", "tape"):
                await tab.run(f"document.querySelector('#views [data-to={view}]').click()")
                await deferLater(reactor, 0.4)
                await save(tab, f"phone-{view}-{theme}")
            await tab.run("document.querySelector('#views [data-to=account]').click()")
            await tab.run("document.querySelector('#demo-tokens button').click()")
            await tab.until("page.account.orders.size > 2 && page.account.positions.size > 1")
            await save(tab, f"phone-account-{theme}")
            await browser.close(tab)
    finally:
        await browser.stop()


async def save(tab: Any, name: str) -> None:
    (FOLDER / f"{name}.png").write_bytes(await tab.picture())
    print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(shoot(reactor, sys.argv[1])), [])
