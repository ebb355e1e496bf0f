/** The tape: the newest trades, newest first. */

import { arrow, clock, fit, group } from "./format.mjs";
import { make, paint, setAttribute, setText } from "./paint.mjs";

const KEPT = 60;

export class Tape {
  constructor(root) {
    this.body = root.querySelector("tbody");
    this.rows = []; // the newest first
    this.fresh = []; // trades without a row yet, oldest first
    this.newest = null;
    this.draw = () => this.#draw();
  }

  show(digits) {
    this.digits = digits;
    this.fresh = [];
    this.newest = null;
    this.rows = [];
    this.body.replaceChildren();
  }

  /** Gives those that are new: the newest 50 come again with each subscription. */
  take(trades) {
    const { newest } = this;
    const fresh =
      newest === null ? trades : trades.filter(({ first, time }) => first > newest.last || time > newest.time);
    if (fresh.length > 0) {
      this.newest = fresh.at(-1);
      this.fresh = [...this.fresh, ...fresh].slice(-KEPT);
      paint(this.draw);
    }
    return fresh;
  }

  #draw() {
    const before = [this.digits.price, this.digits.quantity].join();
    for (const { price, qty } of this.fresh) this.digits.note(price, qty);
    for (const trade of this.fresh) {
      const row = this.rows.length < KEPT ? this.#row() : this.rows.pop();
      row.trade = trade;
      this.#fill(row);
      this.rows.unshift(row);
      this.body.prepend(row.element);
    }
    this.fresh = [];
    if ([this.digits.price, this.digits.quantity].join() !== before) this.rows.forEach((row) => this.#fill(row));
  }

  #row() {
    const cells = ["price", "quantity", "time"].map((name) => make("td", { class: name }));
    return { cells, element: make("tr", {}, ...cells), trade: null };
  }

  #fill({ cells: [price, quantity, time], trade }) {
    const sign = trade.side === "buy" ? 1 : -1;
    setAttribute(price, "data-sign", String(sign));
    setText(price, `${arrow(sign)} ${group(fit(trade.price, this.digits.price))}`);
    setText(quantity, group(fit(trade.qty, this.digits.quantity)));
    setText(time, clock(Number(trade.time)));
  }
}
