// The last values of something as a line, with gaps where there was none.

import { svg } from "./dom.js";
import { number } from "./words.js";

const HEIGHT = 24;

export function chartElement(label) {
  const element = svg("svg", { class: "chart", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  element.label = label;
  return element;
}

// Draw `values`, of which null is a gap, in an element of `chartElement`; `interval` is the s between two of them.
// With `isStep`, a value holds until the next one. A chart that is to begin at 0 has `least` 0.
export function draw(element, values, interval, { isStep = false, least = Infinity, unit = "" } = {}) {
  const state = `${values.join()}|${least}`;
  if (element.state === state) return;
  element.state = state;
  const known = values.filter((value) => value !== null);
  if (known.length < 2) {
    element.replaceChildren();
    element.setAttribute("aria-label", `${element.label}: not enough values yet`);
    return;
  }
  const [low, high] = [Math.min(...known, least), Math.max(...known)];
  const x = (index) => ((index / (values.length - 1)) * 100).toFixed(2);
  const y = (value) => (high === low ? (low ? HEIGHT / 2 : HEIGHT - 2) : HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4)).toFixed(2);
  const lines = [];
  let line = [];
  values.forEach((value, index) => {
    if (value === null) {
      if (line.length) lines.push(line);
      line = [];
      return;
    }
    if (isStep && line.length) line.push([x(index), line.at(-1)[1]]);
    line.push([x(index), y(value)]);
  });
  if (line.length) lines.push(line);
  const unitText = unit ? ` ${unit}` : "";
  const minutes = Math.round(((values.length - 1) * interval) / 60);
  const text = `${element.label}: ${number(Math.min(...known), 4)} to ${number(high, 4)}${unitText} in the last ${minutes ? `${minutes} min` : "minute"}`;
  element.setAttribute("aria-label", text);
  element.replaceChildren(
    Object.assign(svg("title"), { textContent: text }),
    ...lines.flatMap((points) => {
      const ends = points.length === 1 ? [[points[0][0] - 0.5, points[0][1]], [Number(points[0][0]) + 0.5, points[0][1]]] : points;
      const path = ends.map((point) => point.join()).join(" ");
      return [
        svg("polygon", { points: `${ends[0][0]},${HEIGHT} ${path} ${ends.at(-1)[0]},${HEIGHT}` }),
        svg("polyline", { points: path, "vector-effect": "non-scaling-stroke" }),
      ];
    }),
  );
}
