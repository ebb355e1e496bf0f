/**
 * A user's own balances, positions and orders, once logged in.
 *
 * What is sent on these channels is the exchange's own; these are the shapes of the demo. Of others it shows what it
 * can: no value is taken to be a number, or text, unseen.
 */

import { arrow, clock, decimal, digitsOf, group, rounded, signOf, signed, units } from "./format.mjs";
import { make, paint, setAttribute, setText } from "./paint.mjs";

const ORDERS = 100; // that are shown
const STATUS = { PARTIALLY_FILLED: "partial" };

export class Account {
  /** `markOf(symbol)` gives its mark price or null, `digitsOf(symbol)` how many digits its numbers have. */
  constructor(root, markOf, digitsOfSymbol) {
    this.root = root;
    this.markOf = markOf;
    this.digitsOf = digitsOfSymbol;
    this.bodies = Object.fromEntries([...root.querySelectorAll("tbody")].map((body) => [body.dataset.of, body]));
    this.note = root.querySelector(".note");
    this.draw = () => this.#draw();
    this.clear();
  }

  clear() {
    this.balances = new Map();
    this.positions = new Map();
    this.orders = new Map();
    for (const body of Object.values(this.bodies)) body.replaceChildren();
    this.rows = { balance: new Map(), position: new Map(), order: new Map() };
    paint(this.draw);
  }

  /** {asset, balance}, or {asset: {available, frozen}, …}. */
  takeBalance(data) {
    if (typeof data?.asset === "string") {
      this.balances.set(data.asset, written(data.balance));
    } else if (typeof data === "object" && data !== null) {
      for (const [asset, parts] of Object.entries(data)) {
        const values = typeof parts === "object" && parts !== null ? Object.values(parts) : [parts];
        this.balances.set(asset, values.map(written).join(" / "));
      }
    }
    paint(this.draw);
  }

  takePosition(data) {
    if (typeof data?.symbol === "string" && isDecimal(data.qty) && isDecimal(data.entryPrice)) {
      this.positions.set(data.symbol, data);
    }
    paint(this.draw);
  }

  takeOrder(data) {
    if (data?.orderId === undefined) return;
    this.orders.delete(data.orderId); // so that the newest stand last
    this.orders.set(data.orderId, data);
    for (const id of this.orders.keys()) {
      if (this.orders.size <= ORDERS) break;
      this.orders.delete(id);
    }
    paint(this.draw);
  }

  marked() {
    if (this.positions.size > 0) paint(this.draw);
  }

  #draw() {
    this.#table("balance", [...this.balances], ([asset, text]) => [asset, [asset, text]]);
    this.#table(
      "position",
      [...this.positions.values()].filter(({ qty }) => signOf(qty) !== 0),
      (position) => {
        const { symbol, qty, entryPrice } = position;
        const mark = this.markOf(symbol);
        const sign = signOf(qty);
        const places = this.digitsOf(symbol).price;
        const gain = mark === null ? null : profit(qty, entryPrice, mark);
        return [
          symbol,
          [
            symbol,
            [`${arrow(sign)} ${group(qty)}`, sign],
            group(rounded(entryPrice, places)),
            mark === null ? "–" : group(rounded(mark, places)),
            gain === null ? "–" : [signed(gain), signOf(gain)],
          ],
        ];
      },
    );
    this.#table("order", [...this.orders.values()].toReversed(), (order) => [
      String(order.orderId),
      [
        Number.isSafeInteger(order.time) ? clock(order.time) : "–",
        String(order.symbol),
        [`${arrow(order.side === "buy" ? 1 : -1)} ${order.side}`, order.side === "buy" ? 1 : -1],
        order.price === null ? "market" : written(order.price),
        `${written(order.filled)} / ${written(order.qty)}`,
        STATUS[order.status] ?? String(order.status).toLowerCase(),
      ],
    ]);
    for (const [name, body] of Object.entries(this.bodies)) {
      setAttribute(body.closest("section"), "data-empty", this.rows[name].size === 0 ? "" : null);
    }
  }

  /** `row` gives a key and cells: text, or text and its sign. */
  #table(name, items, row) {
    const known = this.rows[name];
    const keys = new Set();
    items.forEach((item, place) => {
      const [key, cells] = row(item);
      keys.add(key);
      if (!known.has(key)) known.set(key, make("tr", { "data-key": key }, ...cells.map(() => make("td"))));
      const element = known.get(key);
      cells.forEach((cell, index) => {
        const [text, sign] = Array.isArray(cell) ? cell : [cell, null];
        const node = element.children[index];
        setText(node, text);
        setAttribute(node, "data-sign", sign === null ? null : String(sign));
      });
      if (this.bodies[name].children[place] !== element) {
        this.bodies[name].insertBefore(element, this.bodies[name].children[place] ?? null);
      }
    });
    for (const [key, element] of known) {
      if (keys.has(key)) continue;
      element.remove();
      known.delete(key);
    }
  }
}

function isDecimal(value) {
  return typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value);
}

function written(value) {
  return isDecimal(value) ? group(value) : value === null || value === undefined ? "–" : String(value);
}

/** What a position would bring at a price, to the cent. */
function profit(qty, entry, price) {
  const places = Math.max(digitsOf(entry), digitsOf(price));
  const held = digitsOf(qty);
  const exact = units(qty, held) * (units(price, places) - units(entry, places));
  return rounded(decimal(exact, held + places), 2);
}
