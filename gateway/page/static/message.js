// One message on its way through the gateway: a line that opens to show each of its stages.

import { h } from "./dom.js";
import { bytesText, counted, moment, spaced } from "./words.js";

// Outcomes by how they look: each has a sign and a word beside its colour.
const LOOKS = {
  acknowledged: ["good", "✓"],
  sent: ["good", "✓"],
  delivered: ["good", "✓"],
  OK: ["good", "✓"],
  waiting: ["warn", "…"],
  "held back": ["soft", "="],
  dropped: ["bad", "✕"],
};

const DIRECTIONS = {
  "from device": ["→", "from the device to the broker"],
  "to device": ["←", "from the broker to the device"],
  "from gateway": ["•", "of the gateway itself"],
};

const STAGES = {
  read: "read from the device",
  frame: "frame",
  rule: "rule",
  message: "message",
  publish: "topic and payload",
  sent: "sent to the broker",
  acknowledged: "PUBACK: the broker has it",
  "refused by the broker": "PUBACK: the broker refuses it",
  arrived: "arrived from the broker",
  taken: "taken by the interface",
  written: "written to the device",
  answer: "answer of the device",
  outcome: "outcome",
};

const DROPPED_AT = {
  framing: "No frame came out of these bytes.",
  checksum: "The checksum of the frame is wrong.",
  rule: "No rule took the frame.",
  value: "A value of the frame could not be used.",
  answer: "The answer of the device could not be used.",
  interface: "The interface does not send it.",
  filter: "A filter of the configuration drops it.",
  map: "The map cannot translate it.",
  outbox: "It was dropped in the outbox.",
  broker: "The broker has refused it.",
  gateway: "It is for no device.",
  echo: "It is an echo of what this gateway has sent.",
  address: "Its address is not here.",
  check: "It was refused before it came to the device.",
  inbox: "The interface accepts no more.",
};

const WAITS = {
  publish: "It waits in the outbox.",
  sent: "The broker has not acknowledged it yet.",
  message: "The interface has not taken it yet.",
};

function direction(note) {
  const [sign, words] = DIRECTIONS[note.direction] ?? ["•", note.direction];
  return h("span", { class: "direction", title: words, role: "img", "aria-label": words }, sign);
}

// An outcome as a sign, a word and a colour.
export function outcome(word) {
  const [look, sign] = LOOKS[word] ?? ["bad", "✕"];
  return h("span", { class: `outcome ${look}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}

// A line that opens: in short what came, what became of it, and why it did not arrive.
export function messageLine(note) {
  const line = h(
    "details",
    { class: "message" },
    h("summary", {}, h("time", { datetime: note.time }, moment(note.time)), outcome(note.outcome), h("span", { class: "who" }, direction(note), ` ${note.interface || "gateway"}`), h("span", { class: "what" }, gist(note))),
  );
  // What nobody opens is not built: hundreds of lines may come in a second.
  line.addEventListener("toggle", () => line.childElementCount === 1 && line.append(wayOf(note)), { once: true });
  return line;
}

// What a line says of its message: its topic and payload where it has them, else the last that is known of it, and why.
function gist(note) {
  const parts = [];
  const published = note.stages.findLast((stage) => stage.topic !== undefined);
  const content = note.stages.findLast((stage) => stage.text !== undefined || stage.message !== undefined);
  if (published) parts.push(h("code", { class: "topic" }, published.topic), " ", h("code", {}, published.payload));
  else if (content) parts.push(h("code", {}, content.message ?? bytesText(content)));
  else parts.push(counted(note.stages[0]?.bytes ?? 0, "byte"));
  if (note.reason) parts.push(h("span", { class: note.outcome === "held back" ? "soft" : "bad" }, ` ${note.reason}`));
  return parts;
}

// The whole way of a message, stage by stage, and its end.
function wayOf(note) {
  let passed = 0;
  const stages = note.stages.map((stage) => {
    passed += stage.ms;
    return h("li", {}, h("span", { class: "stage" }, STAGES[stage.stage] ?? stage.stage), h("span", { class: "took" }, took(stage.ms)), h("div", { class: "content" }, contentOf(stage)));
  });
  const end = endOf(note);
  if (end) stages.push(end);
  return h("ol", { class: "way", "aria-label": `The way of this message: ${took(passed) || "at once"} in all` }, stages);
}

function endOf(note) {
  const last = note.stages.at(-1)?.stage;
  if (note.outcome === "waiting") return h("li", { class: "end warn" }, h("span", { class: "stage" }, "waiting"), h("div", { class: "content" }, WAITS[last] ?? "The interface has not answered yet."));
  if (note.outcome === "dropped") {
    const where = DROPPED_AT[note.where] ?? `It was dropped: ${note.where}.`;
    return h("li", { class: "end bad" }, h("span", { class: "stage" }, `✕ dropped (${note.where})`), h("div", { class: "content" }, where, note.reason ? h("p", {}, note.reason) : ""));
  }
  if (note.outcome === "held back") return h("li", { class: "end soft" }, h("span", { class: "stage" }, "= held back"), h("div", { class: "content" }, note.reason ?? ""));
  if (note.reason) return h("li", { class: "end bad" }, h("span", { class: "stage" }, note.outcome), h("div", { class: "content" }, note.reason));
  return null;
}

function contentOf(stage) {
  if (stage.topic !== undefined) {
    const extras = [`QoS ${stage.qos}`, stage.retain ? "retained" : "", counted(stage.bytes, "byte")].filter(Boolean).join(", ");
    return [h("code", { class: "topic" }, stage.topic), h("pre", {}, stage.payload || "(empty)"), h("span", { class: "soft" }, extras)];
  }
  if (stage.text !== undefined) return [h("code", {}, stage.text), h("div", { class: "soft hex" }, `${spaced(stage.hex)} (${counted(stage.bytes, "byte")})`)];
  if (stage.message !== undefined) return h("code", {}, stage.message);
  if (stage.rule !== undefined) return h("code", {}, stage.rule);
  if (stage.bytes !== undefined) return stage.bytes ? counted(stage.bytes, "byte") : "";
  return "";
}

function took(milliseconds) {
  if (milliseconds < 0.01) return "";
  if (milliseconds >= 1000) return `+${(milliseconds / 1000).toFixed(1)} s`;
  return `+${milliseconds < 10 ? milliseconds.toFixed(2) : milliseconds.toFixed(0)} ms`;
}
