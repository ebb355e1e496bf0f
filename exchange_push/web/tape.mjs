/** The tape: the newest trades, newest first. */

import { arrow, clock, fit, group } from "./format.mjs";
import { make, paint, setAttribute, setText } from "./paint.mjs";

const KEPT = 60;

export class Tape {
  constructor(root) {
    this.body = root.querySelector("tbody");
    this.trades = [];
    this.rows = [];
    this.draw = () => this.#draw();
  }

  show(digits) {
    this.digits = digits;
    this.trades = [];
    paint(this.draw);
  }

  /** The newest 50 come again with each subscription: what is known already is passed over. */
  take(trades) {
    const newest = this.trades[0];
    const fresh = newest === undefined ? trades : trades.filter(({ first, time }) => first > newest.last || time > newest.time);
    this.trades = [...fresh.toReversed(), ...this.trades].slice(0, KEPT);
    paint(this.draw);
    return fresh;
  }

  #draw() {
    for (const { price, qty } of this.trades) this.digits.note(price, qty);
    while (this.rows.length < this.trades.length) {
      const cells = ["price", "quantity", "time"].map((name) => make("td", { class: name }));
      const row = make("tr", {}, ...cells);
      this.rows.push({ row, cells });
      this.body.append(row);
    }
    while (this.rows.length > this.trades.length) this.rows.pop().row.remove();
    this.trades.forEach(({ price, qty, side, time, first }, index) => {
      const { row, cells } = this.rows[index];
      const sign = side === "buy" ? 1 : -1;
      setAttribute(row, "data-trade", String(first));
      setAttribute(cells[0], "data-sign", String(sign));
      setText(cells[0], `${arrow(sign)} ${group(fit(price, this.digits.price))}`);
      setText(cells[1], group(fit(qty, this.digits.quantity)));
      setText(cells[2], clock(Number(time)));
    });
  }
}
