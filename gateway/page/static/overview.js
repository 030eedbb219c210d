// The whole gateway: what is wrong, and what to do.

import { get } from "./api.js";
import { repeat } from "./app.js";
import { h, show, status } from "./dom.js";

export function open(main) {
  const head = h("section", { "aria-label": "State" });
  main.append(head);
  return {
    stop: repeat(1000, async () => {
      const answer = await get("overview");
      show(
        head,
        h("h2", {}, status(answer.level), ` ${answer.headline}`),
        h("ul", { class: "problems" }, answer.problems.map((each) => h("li", { class: each.level }, each.what, each.remedy ? h("p", { class: "remedy" }, each.remedy) : ""))),
      );
    }),
  };
}
