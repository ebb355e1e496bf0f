/** The list of symbols with their last price and change. */

import { arrow, fit, group, rounded, signOf, signed } from "./format.mjs";
import { flash, make, paint, setAttribute, setText } from "./paint.mjs";

export class Markets {
  /** `choose(symbol)` is called when somebody picks one. */
  constructor(root, digits, choose) {
    this.list = root.querySelector("ul");
    this.none = root.querySelector(".none");
    this.filter = root.querySelector("input");
    this.digits = digits;
    this.choose = choose;
    this.rows = new Map();
    this.tickers = new Map();
    this.changed = new Set();
    this.current = null;
    this.draw = () => this.#draw();
    this.filter.addEventListener("input", () => this.#sieve());
    this.list.addEventListener("keydown", (event) => this.#step(event));
  }

  get symbols() {
    return [...this.rows.keys()].sort();
  }

  /** The server has none yet. */
  sayNone() {
    setText(this.none, this.rows.size === 0 ? "No market yet: the server has heard of none." : "");
  }

  add(symbol) {
    if (this.rows.has(symbol)) return;
    setText(this.none, "");
    const parts = {
      last: make("span", { class: "last number" }, "–"),
      change: make("span", { class: "change number" }, ""),
    };
    const button = make(
      "button",
      { type: "button" },
      make("span", { class: "symbol" }, symbol),
      parts.last,
      parts.change,
    );
    button.addEventListener("click", () => this.choose(symbol));
    const item = make("li", {}, button);
    this.rows.set(symbol, { ...parts, button, item });
    const after = this.symbols.find((other) => other > symbol);
    this.list.insertBefore(item, after === undefined ? null : this.rows.get(after).item);
    this.#sieve();
  }

  take(ticker) {
    this.add(ticker.symbol);
    this.tickers.set(ticker.symbol, ticker);
    this.changed.add(ticker.symbol);
    paint(this.draw);
  }

  mark(symbol) {
    this.current = symbol;
    for (const [name, { button }] of this.rows) setAttribute(button, "aria-current", name === symbol ? "true" : null);
  }

  #draw() {
    for (const symbol of this.changed) {
      const { last, change } = this.rows.get(symbol);
      const ticker = this.tickers.get(symbol);
      const digits = this.digits(symbol);
      digits.note(ticker.last, ticker.lastQty);
      const before = last.dataset.exact;
      setText(last, group(fit(ticker.last, digits.price)));
      if (before !== undefined && before !== ticker.last) flash(last, Number(ticker.last) - Number(before));
      last.dataset.exact = ticker.last;
      const percent = rounded(ticker.changePercent, 2);
      const sign = signOf(percent);
      setText(change, `${arrow(sign)} ${signed(percent)}%`.trim());
      setAttribute(change, "data-sign", String(sign));
    }
    this.changed.clear();
  }

  #sieve() {
    const wanted = this.filter.value.trim().toUpperCase();
    for (const [symbol, { item }] of this.rows) item.hidden = !symbol.includes(wanted);
  }

  #step(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const buttons = [...this.list.querySelectorAll("li:not([hidden]) button")];
    const at = buttons.indexOf(document.activeElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
    event.preventDefault();
  }
}
