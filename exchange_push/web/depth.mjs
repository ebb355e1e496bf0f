/** The depth chart: what could be bought and sold up to a price. */

import { compact, fit, group } from "./format.mjs";
import { paint, setAttribute, setText } from "./paint.mjs";

const SHOWN = 0.9; // of the levels of the deeper side; the last ones lie far out
const LABELS_PX = 18;

export class DepthChart {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.reading = root.querySelector("output");
    this.pointer = null;
    this.draw = () => this.#draw();
    new ResizeObserver(() => paint(this.draw)).observe(this.canvas);
    document.addEventListener("theme", () => paint(this.draw));
    this.canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.#point(null));
  }

  show(digits) {
    this.digits = digits;
    this.book = null;
    paint(this.draw);
  }

  take(book) {
    this.book = book;
    paint(this.draw);
  }

  #point(x) {
    this.pointer = x;
    paint(this.draw, true);
  }

  #draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (width === 0 || height === 0) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const bids = curve(this.book?.bids() ?? []);
    const asks = curve(this.book?.asks() ?? []);
    if (bids.length === 0 || asks.length === 0) {
      setText(this.reading, "");
      return;
    }
    const middle = (bids[0].price + asks[0].price) / 2;
    const deep = [bids, asks].map((side) => Math.abs(side[Math.floor((side.length - 1) * SHOWN)].price - middle));
    const reach = reachOf(middle, deep);
    const inside = (side) => side.filter(({ price }) => Math.abs(price - middle) <= reach);
    const most = Math.max(...[bids, asks].map((side) => inside(side).at(-1)?.sum ?? 0)) * 1.08;
    const floor = height - LABELS_PX;
    const frame = {
      context,
      width,
      floor,
      x: (price) => ((price - middle) / reach / 2 + 0.5) * width,
      y: (sum) => floor - (sum / most) * (floor - 6),
    };
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    area(frame, inside(bids), colour("--up"), colour("--up-bar"), 0);
    area(frame, inside(asks), colour("--down"), colour("--down-bar"), width);
    context.fillStyle = colour("--faint");
    context.font = `11px ${style.getPropertyValue("--font")}`;
    context.textBaseline = "bottom";
    const places = this.digits.price;
    for (const [align, at, price] of [
      ["left", 4, middle - reach],
      ["center", width / 2, middle],
      ["right", width - 4, middle + reach],
    ]) {
      context.textAlign = align;
      context.fillText(group(price.toFixed(places)), at, height - 3);
    }
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText(compact(String(most)), 4, 4);
    const totals = [bids, asks].map((side) => side.at(-1).sum);
    this.#read(frame, { bids, asks, middle, reach }, colour("--text"));
    setAttribute(canvas, "aria-label", `Depth: ${compact(String(totals[0]))} bid, ${compact(String(totals[1]))} asked`);
  }

  /** What lies under the pointer. */
  #read({ context, width, floor, x, y }, { bids, asks, middle, reach }, colour) {
    if (this.pointer === null) {
      setText(this.reading, "");
      return;
    }
    const price = (this.pointer / width - 0.5) * 2 * reach + middle;
    const side = price < middle ? bids : asks;
    const found = side.filter((level) => Math.abs(level.price - middle) <= Math.abs(price - middle)).at(-1);
    if (found === undefined) {
      setText(this.reading, "");
      return;
    }
    context.strokeStyle = colour;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(x(found.price), 0);
    context.lineTo(x(found.price), floor);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x(found.price), y(found.sum), 3, 0, 2 * Math.PI);
    context.fill();
    const far = ((Math.abs(found.price - middle) / middle) * 100).toFixed(2);
    const name = side === bids ? "Bid" : "Ask";
    setText(
      this.reading,
      `${name} ${group(fit(found.text, this.digits.price))}: ${compact(String(found.sum))} within ${far}%`,
    );
  }
}

/** How far from the middle the chart goes: where the prices of the deeper side end, but no further than to zero. */
export function reachOf(middle, deep) {
  return Math.min(Math.max(...deep), middle);
}

/** Of levels, best first: the price and the sum of quantities up to it. For drawing only, so numbers will do. */
function curve(levels) {
  let sum = 0;
  return levels.map(([text, quantity]) => ({ text, price: Number(text), sum: (sum += Number(quantity)) }));
}

function area({ context, floor, x, y }, levels, line, fill, edge) {
  if (levels.length === 0) return;
  const path = new Path2D();
  path.moveTo(x(levels[0].price), floor);
  let before = floor;
  for (const { price, sum } of levels) {
    path.lineTo(x(price), before);
    before = y(sum);
    path.lineTo(x(price), before);
  }
  path.lineTo(edge, before);
  const under = new Path2D(path);
  under.lineTo(edge, floor);
  under.closePath();
  context.fillStyle = fill;
  context.fill(under);
  context.strokeStyle = line;
  context.lineWidth = 1.5;
  context.stroke(path);
}
