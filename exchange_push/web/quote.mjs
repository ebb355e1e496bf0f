/** The figures of the chosen symbol: last price, 24 hours, mark price and funding. */

import { arrow, clock, compact, decimal, fit, group, rounded, signOf, signed, units } from "./format.mjs";
import { paint, setAttribute, setText } from "./paint.mjs";

/** A share in percent, with four digits. */
function percentOf(share) {
  return rounded(decimal(units(share, 20), 18), 4);
}

export class Quote {
  constructor(root) {
    this.root = root;
    this.cells = Object.fromEntries(
      [...root.querySelectorAll("[data-figure]")].map((cell) => [cell.dataset.figure, cell]),
    );
    this.draw = () => this.#draw();
  }

  show(symbol, digits) {
    this.symbol = symbol;
    this.digits = digits;
    this.ticker = null;
    this.mark = null;
    this.last = null;
    for (const cell of Object.values(this.cells)) setText(cell, "–");
    setText(this.cells.symbol, symbol);
    setAttribute(this.cells.last, "data-sign", null);
    setAttribute(this.cells.change, "data-sign", null);
  }

  takeTicker(ticker) {
    this.ticker = ticker;
    this.takePrice(ticker.last);
  }

  takeMark(mark) {
    this.mark = mark;
    paint(this.draw);
  }

  takePrice(price) {
    if (this.last !== null && price !== this.last)
      this.sign = Math.sign(Number(price) - Number(this.last)) || this.sign;
    this.last = price;
    this.digits.note(price);
    paint(this.draw);
  }

  /** Draws the time that is left until the next funding. */
  tick(nowMs) {
    const next = this.mark?.nextFundingTime;
    if (next === null || next === undefined) return;
    const left = Math.max(0, Number(next) - nowMs);
    setText(this.cells.fundingIn, left >= 86_400_000 ? `${Math.floor(left / 86_400_000)} d` : clock(left));
  }

  #draw() {
    const { cells, ticker, mark } = this;
    const price = this.digits.price;
    if (this.last !== null) {
      setText(cells.last, group(fit(this.last, price)));
      setAttribute(cells.last, "data-sign", String(this.sign ?? 0));
    }
    if (ticker !== null) {
      const sign = signOf(ticker.change);
      const change = signed(fit(ticker.change, price));
      setText(cells.change, `${arrow(sign)} ${change} (${signed(rounded(ticker.changePercent, 2))}%)`.trim());
      setAttribute(cells.change, "data-sign", String(sign));
      setText(cells.high, group(fit(ticker.high, price)));
      setText(cells.low, group(fit(ticker.low, price)));
      setText(cells.volume, compact(ticker.volume));
      setText(cells.quoteVolume, compact(ticker.quoteVolume));
      setAttribute(cells.volume, "title", group(ticker.volume));
      setAttribute(cells.quoteVolume, "title", group(ticker.quoteVolume));
      setAttribute(this.root, "data-incomplete", ticker.complete ? null : "");
      setAttribute(this.root, "title", ticker.complete ? null : "* of these 24 hours not all was recorded");
    }
    if (mark !== null) {
      setText(cells.mark, group(rounded(mark.markPrice, price)));
      setAttribute(cells.mark, "title", group(mark.markPrice));
      setText(cells.index, group(rounded(mark.indexPrice, price)));
      setAttribute(cells.index, "title", group(mark.indexPrice));
      if (mark.fundingRate !== null) setText(cells.funding, `${signed(percentOf(mark.fundingRate))}%`);
    }
  }
}
