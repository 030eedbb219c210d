// Builds what the page shows. Every text is set as a text, never as markup: a device may send anything.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// How long ago, in words.
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  if (seconds < 1.5) return "now";
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name} ago`;
  }
  return `${Math.floor(seconds)} s ago`;
}

// The time of day of a time in seconds (Unix time), or of a text such as 2026-11-29T21:30:05.120Z; with the day, if it
// is another one than today.
export function clock(time) {
  const date = typeof time === "number" ? new Date(time * 1000) : new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const day = date.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return date.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

const SIGNS = { online: "●", offline: "✕", unknown: "○", hanging: "▲", closed: "◌", well: "●", degraded: "▲", down: "✕" };

// A status: a sign, a word and a colour, so that each of them is enough.
export function status(word, title = "") {
  return h("span", { class: `status ${word}`, title }, h("span", { "aria-hidden": "true" }, SIGNS[word] ?? "•"), ` ${word}`);
}

// A line of the last values, as wide as the text around it.
export function sparkline(values, label) {
  const known = values.filter((value) => typeof value === "number");
  if (known.length < 2) return h("span", { class: "sparkline" });
  const low = Math.min(...known);
  const high = Math.max(...known);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values
    .map((value, index) => (typeof value === "number" ? `${(index * step).toFixed(1)},${(high === low ? 10 : 19 - ((value - low) / (high - low)) * 18).toFixed(1)}` : null))
    .filter(Boolean);
  return svg(
    "svg",
    { class: "sparkline", viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: from ${low} to ${high}` },
    svg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }),
  );
}

// Replace what an element contains, but only if it is something else: what a person reads or has selected stays.
export function show(element, ...children) {
  const fresh = h("div", {}, ...children);
  if (fresh.innerHTML !== element.innerHTML) element.replaceChildren(...fresh.childNodes);
}
