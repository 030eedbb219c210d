// What the gateway could not use, grouped by what it looks like, each with what to paste where.

import { get, post } from "./api.js";
import { countUnknown, repeat, session, tell } from "./app.js";
import { h } from "./dom.js";
import { show } from "./update.js";
import { ago, bytesText, clock, counted } from "./words.js";

const FEW = 3; // groups that are shown open

const KINDS = {
  rule: ["Frames that no rule takes", "frame"],
  "word out": ["Words that the map does not know, from the device", "message"],
  "word in": ["Words that the map does not know, from the broker", "message"],
  value: ["Frames of which no value can be read", "frame"],
  framing: ["Bytes that never become a frame", "time"],
  checksum: ["Frames with a wrong checksum", "frame"],
  parts: ["Frames whose other parts do not come", "frame"],
};

export function open(main) {
  const state = h("p", { role: "status" });
  const clear = h("button", { type: "button", hidden: true, onclick: forget }, "Count anew");
  const sections = new Map(Object.entries(KINDS).map(([kind, [title]]) => [kind, { list: h("div"), section: h("section", { hidden: true, "aria-label": title }, h("h3", {}, title)) }]));
  for (const { list, section } of sections.values()) section.append(list);
  const cards = new Map(); // by the number of the group
  main.append(h("h2", {}, "What the gateway could not use"), h("div", { class: "unknown-head" }, state, clear), ...[...sections.values()].map((each) => each.section));

  async function forget() {
    try {
      await post("unknown/clear", {});
      update(await get("unknown"));
    } catch (error) {
      tell(error.message);
    }
  }

  function update(answer) {
    const { groups, forgotten, time } = answer;
    countUnknown(groups.length);
    clear.hidden = !(groups.length && session.may_write);
    const beyond = forgotten ? ` ${counted(forgotten, "more group")} had to be forgotten: these are what was seen last.` : "";
    show(state, groups.length ? `${counted(groups.length, "group")} since the page began; what was seen last is on top.${beyond}` : "Everything that came could be used: each frame by a rule, and each word by the map.");
    const numbers = new Set(groups.map((group) => group.number));
    for (const [number, card] of cards) {
      if (numbers.has(number)) continue;
      card.element.remove();
      cards.delete(number);
    }
    for (const [kind, { list, section }] of sections) {
      const own = groups.filter((group) => group.kind === kind);
      section.hidden = !own.length;
      own.forEach((group, index) => {
        if (!cards.has(group.number)) cards.set(group.number, newCard(group, groups.length <= FEW));
        const card = cards.get(group.number);
        card.update(group, time);
        // A card that a person is in stays where it is: moving it would take the focus, or a selection, away.
        if (list.children[index] !== card.element && !list.contains(document.activeElement) && !isSelected(list)) list.insertBefore(card.element, list.children[index] ?? null);
        else if (!card.element.isConnected) list.append(card.element);
      });
    }
  }

  return { stop: repeat(2000, async () => update(await get("unknown"))) };
}

function isSelected(list) {
  const selection = getSelection();
  return !selection.isCollapsed && list.contains(selection.anchorNode);
}

// A group: its head changes with each frame, what stands below only when there is something else to say.
function newCard(group, isOpen) {
  const times = h("strong");
  const seen = h("span", { class: "soft" });
  const body = h("div");
  const shape = h("span", { class: "unknown-shape" }, h("code", {}, shapeOf(group)), h("span", { class: "soft" }, ` · ${group.interface}`));
  const element = h("details", { class: "panel unknown", open: isOpen }, h("summary", {}, shape, times, seen), body);
  let latest = group;
  let shown = "";
  function fill() {
    const { count, last, first, ...rest } = latest;
    const text = JSON.stringify(rest);
    if (!element.open || text === shown || (shown && (body.contains(document.activeElement) || isSelected(body)))) return;
    const wasOpen = body.querySelector("details")?.open ?? false;
    shown = text;
    body.replaceChildren(...bodyOf(latest).filter(Boolean));
    const unwanted = body.querySelector("details");
    if (unwanted) unwanted.open = wasOpen;
  }
  element.addEventListener("toggle", fill);
  return {
    element,
    update(news, time) {
      latest = news;
      times.textContent = counted(news.count, KINDS[news.kind][1]);
      seen.textContent = `${news.count > 1 ? `since ${clock(news.first)}, ` : ""}last ${ago(time - Date.parse(news.last) / 1000)}`;
      fill();
    },
  };
}

function shapeOf(group) {
  if (group.field) return `${group.field}: ${group.shape}`;
  if (group.shape) return group.shape;
  return group.reason;
}

function bodyOf(group) {
  const isWord = group.kind.startsWith("word");
  const parts = [examplesOf(group, isWord)];
  if (group.reason && group.kind !== "rule" && !isWord && group.shape) parts.push(h("p", { class: "bad" }, group.reason));
  if (isWord && !group.lines.length) parts.push(h("p", { class: "bad" }, group.reason));
  if (group.advice) parts.push(h("p", { class: "remedy" }, group.advice));
  if (group.rule) parts.push(...ruleOf(group));
  for (const line of group.lines) parts.push(pasted(`Paste into the map of ${group.interface}, under ${line.field}, map:`, line.line, "the line of the map"));
  if (isWord && group.lines.length) parts.push(h("p", { class: "soft" }, group.kind === "word in" ? "On the left is the word that the interface understands: put there the right one. Or ignore it: a strict map is the usual way to leave messages alone." : "On the right is the word that the broker gets: choose the one that your other programs expect."));
  if (group.ignore) parts.push(h("details", {}, h("summary", {}, "These frames are not wanted"), pasted(`Paste into ${group.option} of ${group.interface}: they are dropped and counted, and no longer shown here.`, group.ignore, "the rule that ignores them")));
  // What the workbench cannot change, such as the framing, is not tried there.
  if (group.lines.length || !["word in", "word out", "framing", "checksum"].includes(group.kind)) parts.push(h("p", {}, h("a", { href: workbench(group) }, isWord ? "Add it in the workbench" : "Try it in the workbench")));
  return parts;
}

function examplesOf(group, isWord) {
  if (!group.examples.length) return null;
  return h(
    "ul",
    { class: "examples", "aria-label": "Examples" },
    group.examples.map((each) => h("li", {}, isWord ? "in " : "", h("code", {}, (isWord ? each.text : bytesText(each)) || "(empty)"), each.is_whole ? "" : h("span", { class: "soft" }, ` (${counted(each.bytes, "byte")})`))),
  );
}

function ruleOf(group) {
  return [
    pasted(`Paste into ${group.option} of ${group.interface}: this rule reads all of these examples. Give its values and its message better names.`, group.rule, "the rule"),
    h(
      "ul",
      { class: "made" },
      group.messages.map((each) => h("li", {}, "It makes ", each.topic ? [h("code", {}, each.topic), " ", h("code", {}, each.payload)] : [h("code", {}, each.message), h("span", { class: "warn" }, each.problem ? `, but ${each.problem}` : "")])),
    ),
  ];
}

// A text to paste, with a button that copies it. Without TLS there is no clipboard: then the text is selected.
function pasted(title, text, what) {
  const code = h("pre", { tabindex: "0", "aria-label": what }, text.trimEnd());
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 3000);
  });
  return h("div", { class: "pasted" }, h("p", {}, title), button, code);
}

function workbench(group) {
  const parameters = { interface: group.interface };
  const example = group.field ? null : group.examples.find((each) => each.is_whole);
  if (group.lines.length) parameters.words = JSON.stringify(group.lines.map((line) => [line.field, line.internal, line.mqtt]));
  if (example) parameters.frame = example.text;
  if (group.rule) parameters.add = group.rule;
  return `#workbench?${new URLSearchParams(parameters)}`;
}
