/** The order book as a ladder: asks above, bids below, the spread between; behind each row what lies up to there. */

import { arrow, decimal, fit, group, units } from "./format.mjs";
import { flash, make, paint, setAttribute, setText } from "./paint.mjs";

const ROW_PX = 20;
const LEAST = 8; // rows of a side

export class Ladder {
  constructor(root) {
    this.root = root;
    this.scroll = root.querySelector(".rows");
    this.bodies = { asks: root.querySelector(".asks"), bids: root.querySelector(".bids") };
    this.middle = root.querySelector(".middle");
    this.last = root.querySelector(".middle-last");
    this.spread = root.querySelector(".middle-spread");
    this.rows = { asks: [], bids: [] };
    this.digits = null; // until a symbol is shown
    this.draw = () => this.#draw();
    new ResizeObserver(() => this.#fill()).observe(this.scroll);
    this.#fill();
  }

  show(digits) {
    this.digits = digits;
    this.book = null;
    this.price = null;
    this.sign = 0;
    this.before = new Map();
    setText(this.last, "–");
    setText(this.spread, "");
    setAttribute(this.root, "data-update", null);
    paint(this.draw);
  }

  take(book) {
    this.book = book;
    paint(this.draw);
  }

  takePrice(price) {
    if (this.price !== null && price !== this.price) this.sign = Math.sign(Number(price) - Number(this.price));
    this.price = price;
    paint(this.draw);
  }

  /** As many rows as there is room for. */
  #fill() {
    const room = this.scroll.clientHeight - this.middle.offsetHeight - ROW_PX; // the head of the table
    const wanted = Math.max(LEAST, Math.floor(room / 2 / ROW_PX));
    for (const [side, rows] of Object.entries(this.rows)) {
      while (rows.length > wanted) rows.pop().row.remove();
      while (rows.length < wanted) {
        const cells = [make("span"), make("span"), make("span")];
        const names = ["price", "quantity", "total"];
        const row = make("tr", {}, ...cells.map((cell, index) => make("td", { class: names[index] }, cell)));
        rows.push({ row, cells });
        if (side === "asks")
          this.bodies.asks.prepend(row); // the best one is next to the middle
        else this.bodies.bids.append(row);
      }
    }
    paint(this.draw);
  }

  #draw() {
    const { book, digits } = this;
    if (digits === null) return;
    const count = this.rows.asks.length;
    const sides = { asks: book?.asks(count) ?? [], bids: book?.bids(count) ?? [] };
    for (const levels of Object.values(sides)) for (const [price, quantity] of levels) digits.note(price, quantity);
    const sums = {};
    let most = 0n;
    for (const [side, levels] of Object.entries(sides)) {
      let sum = 0n;
      sums[side] = levels.map(([, quantity]) => (sum += units(quantity, digits.quantity)));
      if (sum > most) most = sum;
    }
    const shown = new Map();
    for (const [side, levels] of Object.entries(sides)) {
      this.rows[side].forEach(({ row, cells }, index) => {
        const level = levels[index];
        if (level === undefined) {
          for (const cell of cells) setText(cell, "");
          row.style.setProperty("--share", "0%");
          return;
        }
        const [price, quantity] = level;
        const sum = sums[side][index];
        shown.set(price, quantity);
        setText(cells[0], group(fit(price, digits.price)));
        setText(cells[1], group(fit(quantity, digits.quantity)));
        setText(cells[2], group(decimal(sum, digits.quantity)));
        row.style.setProperty("--share", `${(Number(sum) / Number(most)) * 100}%`);
        const before = this.before.get(price);
        if (before !== undefined && before !== quantity) flash(cells[1]);
      });
    }
    this.before = shown;
    this.#drawMiddle(sides);
    if (book !== null) setAttribute(this.root, "data-update", String(book.last));
  }

  #drawMiddle({ asks: [ask], bids: [bid] }) {
    if (this.price !== null) {
      setText(this.last, `${group(fit(this.price, this.digits.price))} ${arrow(this.sign)}`.trim());
      setAttribute(this.last, "data-sign", String(this.sign));
    }
    if (ask === undefined || bid === undefined) {
      setText(this.spread, "");
      return;
    }
    const places = this.digits.price;
    const spread = decimal(units(ask[0], places) - units(bid[0], places), places);
    const percent = ((Number(spread) / Number(ask[0])) * 100).toFixed(3);
    setText(this.spread, `Spread ${group(spread)} (${percent}%)`);
  }
}
