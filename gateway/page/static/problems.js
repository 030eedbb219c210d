// What is wrong, each with what to do.

import { h } from "./dom.js";
import { deviceLink, keyed, setAttribute, setHidden, setText } from "./update.js";
import { duration } from "./words.js";

const VIEWS = { unknown: "See it under Unknown", "live?drops=1": "See what is dropped" };

// Return a list whose update(problems, now) shows them; with `hasLinks`, each leads to what it is about.
export function problemList({ hasLinks = false } = {}) {
  const element = h("ul", { class: "problems" });
  return {
    element,
    update(problems, now) {
      keyed(element, withKeys(problems), (each) => each.key, (each) => item(each, hasLinks), (row, each) => update(row, each, now));
      setHidden(element, !problems.length);
    },
  };
}

// What tells problems apart while their texts change, such as a count in them.
function withKeys(problems) {
  const seen = new Map();
  return problems.map((each) => {
    const about = JSON.stringify([each.interface, each.device, each.remedy, each.view]);
    const count = seen.get(about) ?? 0;
    seen.set(about, count + 1);
    return { ...each, key: `${about} ${count}` };
  });
}

function item(problem, hasLinks) {
  const row = { what: h("span"), since: h("span", { class: "soft since" }), remedy: h("p", { class: "remedy" }) };
  row.element = h("li", {}, row.what, " ", row.since);
  if (hasLinks && problem.interface) {
    row.element.append(" ", h("a", { href: deviceLink(problem.interface, problem.device) }, "Show ", h("bdi", {}, problem.device || problem.interface)));
  }
  if (VIEWS[problem.view]) row.element.append(" ", h("a", { href: `#${problem.view}` }, VIEWS[problem.view]));
  row.element.append(row.remedy);
  return row;
}

function update(row, problem, now) {
  setAttribute(row.element, "class", problem.level);
  setText(row.what, problem.what);
  setText(row.since, typeof problem.since === "number" ? `for ${duration(Math.max(0, Math.floor(now - problem.since)))}` : "");
  setText(row.remedy, problem.remedy);
  setHidden(row.remedy, !problem.remedy);
}
