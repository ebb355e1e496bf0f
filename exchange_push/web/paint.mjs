/** What is to be drawn waits for the next frame, each thing once; a hidden tab draws nothing. */

const waiting = new Set();
let asked = false;

export function paint(draw) {
  waiting.add(draw);
  if (!asked) {
    asked = true;
    requestAnimationFrame(drawAll);
  }
}

function drawAll() {
  asked = false;
  const due = [...waiting];
  waiting.clear();
  for (const draw of due) draw();
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A short light behind a number that changed. */
export function flash(element, sign = 0) {
  if (calm.matches || document.hidden) return;
  const name = sign > 0 ? "--up-flash" : sign < 0 ? "--down-flash" : "--flash";
  element.animate([{ backgroundColor: `var(${name})` }, { backgroundColor: "transparent" }], {
    duration: 450,
    easing: "ease-out",
  });
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
