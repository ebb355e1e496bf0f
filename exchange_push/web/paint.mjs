/**
 * What is to be drawn waits for a frame, each thing once, and data for ten frames a second: more nobody can read. A
 * hidden tab draws nothing.
 */

const BEAT_MS = 100;
const LIT_MS = 350;

const waiting = new Set();
let asked = null; // what the next frame waits for: "beat" or "frame"
let timer = 0;
let drawnAt = -BEAT_MS;

/** `atOnce`: it follows the pointer. */
export function paint(draw, atOnce = false) {
  waiting.add(draw);
  const leftMs = atOnce ? 0 : drawnAt + BEAT_MS - performance.now();
  if (asked === "frame" || (asked === "beat" && leftMs > 0)) return;
  clearTimeout(timer);
  if (leftMs > 0) {
    asked = "beat";
    timer = setTimeout(askFrame, leftMs);
  } else {
    askFrame();
  }
}

function askFrame() {
  asked = "frame";
  requestAnimationFrame(drawAll);
}

function drawAll() {
  asked = null;
  drawnAt = performance.now();
  const due = [...waiting];
  waiting.clear();
  for (const draw of due) {
    try {
      draw();
    } catch (error) {
      reportError(error); // one view that fails takes no other with it
    }
  }
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

const lit = new Map(); // element -> when its light goes out
let putter = null;

/** A short light behind a number that changed. It does not fade: that would cost a frame each 16 ms. */
export function flash(element, sign = 0) {
  if (calm.matches || document.hidden) return;
  element.dataset.flash = sign > 0 ? "up" : sign < 0 ? "down" : "";
  lit.delete(element);
  lit.set(element, performance.now() + LIT_MS);
  putter ??= setTimeout(putOut, LIT_MS);
}

function putOut() {
  putter = null;
  const nowMs = performance.now();
  for (const [element, untilMs] of lit) {
    if (untilMs > nowMs) break; // those that were lit last stand last
    lit.delete(element);
    delete element.dataset.flash;
  }
  if (lit.size > 0) putter = setTimeout(putOut, BEAT_MS);
}

/** Touches the page only where something changed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** An element with attributes and children; text becomes text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
