/** The candle chart: what was, from /v1/klines, and the candle that runs. Its numbers are for drawing only. */

import { compact, fit, group } from "./format.mjs";
import { paint, setAttribute, setText } from "./paint.mjs";

const AT_ONCE = 500; // candles of one question
const MOST = 10_000; // that are held: a page may be left open for weeks
const NEAR = 20; // candles from the left edge at which older ones are asked for

export class Chart {
  /** `ask(path)` gives the JSON of a page of the server. */
  constructor(root, ask) {
    this.root = root;
    this.ask = ask;
    this.note = root.querySelector(".note");
    this.legend = Object.fromEntries(
      [...root.querySelectorAll("[data-candle]")].map((cell) => [cell.dataset.candle, cell]),
    );
    this.candles = new Map(); // by start
    this.pending = new Map();
    this.asked = 0; // counts what was asked for: an older answer is of no interest
    this.loaded = false;
    this.hovered = null;
    this.draw = () => this.#draw();
    const library = globalThis.LightweightCharts;
    if (library === undefined) {
      setAttribute(root, "data-missing", "");
      setText(this.note, "This server was built without the chart library.");
      return;
    }
    this.#build(library, root.querySelector(".canvas"));
    document.addEventListener("theme", () => this.#colour());
  }

  #build(library, box) {
    this.chart = library.createChart(box, {
      autoSize: true,
      // The link that its licence asks for stands at the foot of the page: this one would bring a style of its own.
      layout: { attributionLogo: false, fontSize: 11, panes: { enableResize: false } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, rightOffset: 4, minBarSpacing: 1 },
      crosshair: { mode: library.CrosshairMode.Normal },
      handleScale: { axisPressedMouseMove: { price: false } },
      localization: { locale: "en-GB" },
    });
    this.series = this.chart.addSeries(library.CandlestickSeries, { borderVisible: false });
    this.volume = this.chart.addSeries(
      library.HistogramSeries,
      { priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false },
      1,
    );
    this.chart.panes()[0].setStretchFactor(5);
    this.chart.panes()[1].setStretchFactor(1);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < NEAR) this.#older();
    });
    this.chart.subscribeCrosshairMove(({ time }) => {
      this.hovered = time === undefined ? null : time * 1000;
      paint(this.draw, true);
    });
    this.#colour();
  }

  #colour() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const grid = { color: colour("--grid") };
    this.chart.applyOptions({
      layout: {
        background: { type: "solid", color: colour("--panel") },
        textColor: colour("--faint"),
        fontFamily: colour("--font"),
        panes: { separatorColor: colour("--line") },
      },
      grid: { vertLines: grid, horzLines: grid },
      crosshair: {
        vertLine: { color: colour("--faint"), labelBackgroundColor: colour("--label") },
        horzLine: { color: colour("--faint"), labelBackgroundColor: colour("--label") },
      },
    });
    const [up, down] = [colour("--up"), colour("--down")];
    this.series.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.bars = { up: colour("--up-bar"), down: colour("--down-bar") };
    if (this.loaded) this.#setAll();
  }

  /** Begin with a symbol and an interval; `load` follows once the stream runs. */
  show(symbol, interval, digits) {
    Object.assign(this, { symbol, interval, digits, loaded: false, end: false, loading: false, hovered: null });
    Object.assign(this, { newest: -Infinity, missed: false });
    this.asked += 1;
    this.fresh = true;
    this.candles = new Map();
    this.pending = new Map();
    for (const cell of Object.values(this.legend)) setText(cell, "–");
    if (this.chart === undefined) return;
    this.series.setData([]);
    this.volume.setData([]);
    this.chart.applyOptions({ timeScale: { secondsVisible: interval === "1s" } });
    this.#say("Loading…");
  }

  #say(text) {
    if (this.chart !== undefined) setText(this.note, text);
  }

  /** What was, and what came meanwhile on top of it. Again after each reconnect: candles may have been missed. */
  async load() {
    const asked = (this.asked += 1);
    try {
      const found = await this.ask(`v1/klines?symbol=${this.symbol}&interval=${this.interval}&limit=${AT_ONCE}`);
      if (asked !== this.asked) return;
      for (const candle of found) this.#keep(candle);
      this.#say("");
    } catch (error) {
      if (asked !== this.asked) return;
      this.#say(`No history: ${error.message}`);
    }
    for (const candle of this.pending.values()) this.#keep(candle);
    this.pending.clear();
    this.loaded = true;
    if (this.chart !== undefined) this.#setAll();
    paint(this.draw);
  }

  async #older() {
    if (!this.loaded || this.loading || this.end || this.candles.size === 0) return;
    this.loading = true;
    const asked = this.asked;
    const first = this.#sorted()[0].start;
    try {
      const query = `symbol=${this.symbol}&interval=${this.interval}&limit=${AT_ONCE}&to=${first}`;
      const found = await this.ask(`v1/klines?${query}`);
      if (asked !== this.asked) return;
      this.end = found.length === 0;
      for (const candle of found) this.#keep(candle);
      if (!this.end) this.#setAll();
    } catch {
      this.end = true; // what is there stays; a reconnect asks anew
    } finally {
      this.loading = false;
    }
  }

  take(candle) {
    this.pending.set(candle.start, candle);
    if (this.pending.size > AT_ONCE) {
      // Nobody has looked for long: what was is asked for when somebody does.
      this.pending.clear();
      this.missed = true;
    }
    if (this.loaded) paint(this.draw);
  }

  #sorted() {
    return [...this.candles.values()].sort((a, b) => a.start - b.start);
  }

  #keep(candle) {
    const known = this.candles.get(candle.start);
    // An answer may be older than what the stream said meanwhile.
    if (known !== undefined && (known.rev > candle.rev || known.count > candle.count || known.closed > candle.closed)) {
      return;
    }
    this.candles.set(candle.start, candle);
    this.newest = Math.max(this.newest, candle.start);
  }

  #setAll() {
    const candles = this.#sorted();
    if (candles.length === 0) return;
    for (const { open, high, low, close, volume } of candles) {
      for (const price of [open, high, low, close]) this.digits.note(price, volume);
    }
    this.#format();
    this.series.setData(candles.map(ohlc));
    this.volume.setData(candles.map((candle) => this.#bar(candle)));
    if (this.fresh) {
      this.fresh = false;
      this.chart.timeScale().applyOptions({ barSpacing: 7 });
      this.chart.timeScale().scrollToRealTime();
    }
  }

  #format() {
    const precision = this.digits.price;
    if (precision === this.precision) return;
    this.precision = precision;
    const formatter = (price) => group(price.toFixed(precision));
    this.series.applyOptions({ priceFormat: { type: "custom", formatter, minMove: 10 ** -precision } });
  }

  #bar(candle) {
    const up = Number(candle.close) >= Number(candle.open);
    return { time: candle.start / 1000, value: Number(candle.volume), color: up ? this.bars.up : this.bars.down };
  }

  #draw() {
    if (this.missed) {
      this.missed = false;
      this.load();
      return;
    }
    if (this.loaded && this.pending.size > 0) this.#takeIn();
    this.#describe();
  }

  #takeIn() {
    const waiting = [...this.pending.values()].sort((a, b) => a.start - b.start);
    this.pending.clear();
    let whole = this.candles.size === 0 || this.#trim();
    for (const candle of waiting) {
      const late = candle.start < this.newest;
      if (late && !this.candles.has(candle.start)) whole = true; // one in the middle cannot be put there alone
      this.candles.set(candle.start, candle);
      this.newest = Math.max(this.newest, candle.start);
      if (this.chart === undefined || whole) continue;
      this.series.update(ohlc(candle), late);
      this.volume.update(this.#bar(candle), late);
    }
    if (whole && this.chart !== undefined) this.#setAll();
  }

  /** Forgets the older half of too many, unless somebody looks at it. */
  #trim() {
    if (this.candles.size <= MOST) return false;
    const seen = this.chart?.timeScale().getVisibleLogicalRange();
    if (seen !== null && seen !== undefined && seen.from < MOST / 2) return false;
    for (const { start } of this.#sorted().slice(0, MOST / 2)) this.candles.delete(start);
    this.end = false;
    return true;
  }

  /** The candle under the pointer, else the running one, in the server's own digits. */
  #describe() {
    const candle = this.candles.get(this.hovered ?? this.newest);
    if (candle === undefined) return;
    const { price, quantity } = this.digits;
    for (const name of ["open", "high", "low", "close"]) setText(this.legend[name], group(fit(candle[name], price)));
    const large = Number(candle.volume) >= 10_000;
    setText(this.legend.volume, large ? compact(candle.volume) : group(fit(candle.volume, quantity)));
    const sign = Math.sign(Number(candle.close) - Number(candle.open));
    setAttribute(this.legend.close, "data-sign", String(sign));
    setAttribute(this.root, "data-start", String(candle.start));
  }
}

function ohlc({ start, open, high, low, close }) {
  return { time: start / 1000, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
}
