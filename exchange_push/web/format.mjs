/** Numbers as text: the server's exact decimals are shown as they are, and added up without rounding. */

export const MINUS = "\u2212";

/** How many digits stand behind the point. */
export function digitsOf(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

/** With as many digits behind the point as its neighbours have, so that points stand below each other. */
export function fit(text, digits) {
  const missing = digits - digitsOf(text);
  if (missing <= 0) return text;
  return (text.includes(".") ? text : `${text}.`) + "0".repeat(missing);
}

/** Thousands set apart, and a minus that is as wide as a digit. */
export function group(text) {
  const [whole, part] = text.replace("-", "").split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return (text.startsWith("-") ? MINUS : "") + (part === undefined ? grouped : `${grouped}.${part}`);
}

/** A decimal as a whole number of its last digit; what stands behind `digits` is rounded half up. */
export function units(text, digits) {
  const [whole, part = ""] = text.replace("-", "").split(".");
  const kept = BigInt(whole + part.slice(0, digits).padEnd(digits, "0"));
  const value = kept + (part.length > digits && part[digits] >= "5" ? 1n : 0n);
  return text.startsWith("-") ? -value : value;
}

/** Back to text. */
export function decimal(value, digits) {
  const text = String(value < 0n ? -value : value).padStart(digits + 1, "0");
  const plain = digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
  return (value < 0n ? "-" : "") + plain;
}

export function rounded(text, digits) {
  return digitsOf(text) <= digits ? fit(text, digits) : decimal(units(text, digits), digits);
}

/** Four digits or so of a large number. */
export function compact(text) {
  const value = Number(text);
  for (const [size, sign] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "K"],
  ]) {
    if (Math.abs(value) >= 10 * size) return `${group((value / size).toFixed(2))}${sign}`;
  }
  return group(value.toFixed(2));
}

/** Signed, as a change is shown. */
export function signed(text) {
  const sign = signOf(text);
  return sign === 0 ? text.replace("-", "") : (sign > 0 ? "+" : "") + group(text);
}

/** -1, 0 or 1. */
export function signOf(text) {
  if (/^-?[0.]+$/.test(text)) return 0;
  return text.startsWith("-") ? -1 : 1;
}

/** Beside a colour, since not everybody sees that. */
export function arrow(sign) {
  return sign > 0 ? "▲" : sign < 0 ? "▼" : "";
}

/** HH:MM:SS, UTC. */
export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

/** How many digits prices and quantities of a symbol have; it only grows, so that nothing jumps. */
export class Digits {
  constructor() {
    this.price = 0;
    this.quantity = 0;
  }

  note(price, quantity) {
    if (price !== null && price !== undefined) this.price = Math.max(this.price, digitsOf(price));
    if (quantity !== null && quantity !== undefined) this.quantity = Math.max(this.quantity, digitsOf(quantity));
  }
}
