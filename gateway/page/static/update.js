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

// Replace what an element contains, but only if it is something else: what a person reads or has selected stays.
export function show(element, ...children) {
  const fresh = h("div", {}, ...children);
  if (fresh.innerHTML !== element.innerHTML) element.replaceChildren(...fresh.childNodes);
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

export function deviceLink(name, device = "") {
  return `#device?${new URLSearchParams(device ? { interface: name, device } : { interface: name })}`;
}
