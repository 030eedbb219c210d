// Changes what the page shows, where it differs and nowhere else: focus, selection and scrolling stay where they are.

import { h } from "./dom.js";

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element, hidden) {
  if (element.hasAttribute("hidden") !== Boolean(hidden)) element.toggleAttribute("hidden", Boolean(hidden));
}

// Have one child in `parent` for each of `items`, in their order. `create` returns an object with the `element`, which
// stays as long as there is an item with its key; `update` gets that object and the item each time.
const rowsOf = new WeakMap();

export function keyed(parent, items, keyOf, create, update) {
  const rows = rowsOf.get(parent) ?? new Map();
  rowsOf.set(parent, rows);
  const kept = new Set();
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    kept.add(key);
    let row = rows.get(key);
    if (!row) {
      row = create(item);
      rows.set(key, row);
    }
    if (row.element === next) next = next.nextElementSibling;
    else parent.insertBefore(row.element, next);
    update(row, item);
  }
  if (rows.size === kept.size) return;
  for (const [key, row] of rows) {
    if (kept.has(key)) continue;
    row.element.remove();
    rows.delete(key);
  }
}

const SIGNS = {
  online: "●", offline: "✕", unknown: "○", hanging: "▲", closed: "◌", well: "●", degraded: "▲", down: "✕",
  good: "●", stale: "◷", bad: "✕",
};

// A status that can change: a sign, a word and a colour, so that each of them is enough.
export function statusElement() {
  return h("span", { class: "status" }, h("span", { "aria-hidden": "true" }), h("span"));
}

export function setStatus(element, word, shown = word) {
  setAttribute(element, "class", `status ${word}`);
  setText(element.firstElementChild, SIGNS[word] ?? "•");
  setText(element.lastElementChild, shown ? ` ${shown}` : "");
}

// A duration in words, such as 3 min.
export function duration(seconds) {
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return seconds < 10 && seconds % 1 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds)} s`;
}

// A number for people: grouped, and with no more digits than it needs.
export function number(value, digits = 6) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  return value.toLocaleString(undefined, { maximumSignificantDigits: Number.isInteger(value) ? 21 : digits });
}

export function deviceLink(name, device = "") {
  return `#device?${new URLSearchParams(device ? { interface: name, device } : { interface: name })}`;
}
