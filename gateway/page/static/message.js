// One message on its way: a line that opens to every stage of it.

import { clock, h } from "./dom.js";

const GOOD = ["acknowledged", "sent", "delivered", "OK"];
const OPEN = ["waiting", "held back"];
const STAGES = {
  read: "read", frame: "frame", rule: "rule", message: "message", publish: "to be published", sent: "sent",
  acknowledged: "acknowledged", arrived: "from the broker", taken: "taken by the interface", written: "written",
  answer: "answer", outcome: "outcome",
};
const DIRECTIONS = { "from device": ["→", "from the device"], "to device": ["←", "to the device"], "from gateway": ["◆", "from the gateway itself"] };

export function outcomeClass(outcome) {
  if (GOOD.includes(outcome)) return "good";
  return OPEN.includes(outcome) ? "soft" : "bad";
}

export function outcomeSign(outcome) {
  return { good: "✓", soft: "…", bad: "✕" }[outcomeClass(outcome)];
}

// Return a <details> for a note of the gateway's tap: its summary is one line, its body the whole way of the message.
export function messageLine(note) {
  const [arrow, direction] = DIRECTIONS[note.direction] ?? ["", note.direction];
  const body = h("div", { class: "way" });
  const details = h(
    "details",
    { class: "message" },
    h(
      "summary",
      {},
      h("time", { class: "mono", datetime: note.time }, clock(note.time)),
      h("span", { class: "from" }, h("span", { title: direction, role: "img", "aria-label": direction }, arrow), ` ${note.interface || "gateway"}`),
      h("span", { class: outcomeClass(note.outcome) }, h("span", { "aria-hidden": "true" }, `${outcomeSign(note.outcome)} `), note.outcome),
      h("span", { class: "mono what" }, subject(note)),
    ),
    body,
  );
  details.addEventListener("toggle", () => {
    if (details.open && !body.childElementCount) body.append(...way(note));
  });
  return details;
}

function subject(note) {
  const published = note.stages.findLast((stage) => stage.topic);
  const told = note.stages.findLast((stage) => stage.message);
  const frame = note.stages.findLast((stage) => stage.text);
  const text = published ? `${published.topic} ${published.payload}` : (told?.message ?? frame?.text ?? "");
  return note.outcome === "dropped" || !text ? [note.reason, text].filter(Boolean).join(": ") : text;
}

function way(note) {
  const stages = note.stages.map((stage) =>
    h(
      "li",
      {},
      h("span", { class: "stage" }, STAGES[stage.stage] ?? stage.stage),
      h("span", { class: "ms number soft" }, stage.ms ? `+${stage.ms} ms` : ""),
      h("span", { class: "content" }, content(stage)),
    ),
  );
  const parts = [h("ol", { class: "stages" }, stages)];
  const where = note.where ? ` at the stage ${note.where}` : "";
  if (note.reason || note.where) {
    parts.push(h("p", { class: outcomeClass(note.outcome) }, `${outcomeSign(note.outcome)} ${note.outcome}${where}${note.reason ? `: ${note.reason}` : ""}`));
  } else if (note.outcome === "waiting") {
    parts.push(h("p", { class: "soft" }, "… It is still on its way; it is shown again when it has ended."));
  }
  return parts;
}

function content(stage) {
  if (stage.topic !== undefined) {
    const flags = [`QoS ${stage.qos}`, stage.retain ? "retained" : "", `${stage.bytes} bytes`].filter(Boolean).join(", ");
    return [h("code", {}, stage.topic), h("code", { class: "payload" }, stage.payload), h("span", { class: "soft" }, flags)];
  }
  if (stage.hex !== undefined) return [h("code", {}, stage.text), h("code", { class: "soft" }, spaced(stage.hex)), h("span", { class: "soft" }, `${stage.bytes} bytes`)];
  if (stage.rule !== undefined) return [h("code", {}, stage.rule)];
  if (stage.message !== undefined) return [h("code", {}, stage.message)];
  return stage.bytes === undefined ? [] : [h("span", { class: "soft" }, `${stage.bytes} bytes`)];
}

// Bytes in hexadecimal, byte by byte.
export function spaced(hex) {
  return hex.replace(/(..)(?=[0-9a-f])/g, "$1 ");
}
