"""`make screenshots`: a picture of each view of the page of a running demo, into docs/images/."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from tests.browser import Browser

FOLDER = Path(__file__).parent.parent / "docs" / "images"

_SETTLED_S = 0.5  # for what was touched to be drawn


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
            await deferLater(reactor, _SETTLED_S)
            await save(tab, f"desktop-{theme}")
            await browser.close(tab)
            tab = await browser.open(url, theme=theme, width=360, height=740)
            await tab.until("page.shown.symbol && page.chart.loaded && page.ladder.book?.inSync")
            for view in ("markets", "chart", "book", "tape"):
                await tab.run(f"document.querySelector('#views [data-to={view}]').click()")
                await deferLater(reactor, _SETTLED_S)
                await save(tab, f"phone-{view}-{theme}")
            await tab.run("document.querySelector('#views [data-to=account]').click()")
            await tab.run("document.querySelector('#demo-tokens button').click()")
            await tab.until("page.account.orders.size > 2 && page.account.positions.size > 1")
            await save(tab, f"phone-account-{theme}")
            await browser.close(tab)
    finally:
        await browser.stop()


async def save(tab: Any, name: str) -> None:
    file = FOLDER / f"{name}.png"
    file.write_bytes(await tab.picture())
    shrink = shutil.which("pngquant")
    if shrink is not None:  # to a third, with nothing that an eye could see
        subprocess.run([shrink, "--force", "--skip-if-larger", "--ext", ".png", "256", str(file)], check=False)
    print(f"{file.relative_to(FOLDER.parent.parent)}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(shoot(reactor, sys.argv[1])), [])
