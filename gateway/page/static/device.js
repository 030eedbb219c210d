// One device: its readings, its commands, what became of its frames, its last messages and its bytes.

import { get, post } from "./api.js";
import { repeat, session } from "./app.js";
import { chartElement, draw } from "./chart.js";
import { h } from "./dom.js";
import { messageLine, outcome } from "./message.js";
import { problemList } from "./problems.js";
import { deviceLink, keyed, setAttribute, setHidden, setStatus, setText, show, statusElement } from "./update.js";
import { ago, bytesText, clock, duration, number, spaced } from "./words.js";

const MOST_MESSAGES = 100;
const MOST_BYTES = 200; // lines of bytes

export function open(main, parameters) {
  const about = { interface: parameters.get("interface") ?? "", device: parameters.get("device") ?? "" };
  const head = heading(about);
  const readings = readingList();
  const commands = commandList(about);
  const frames = frameList(about);
  const messages = messageList();
  const bytes = byteList();
  const only = h("p", { class: "panel" });
  const content = h("div", { hidden: true }, only, h("div", { class: "columns" }, h("div", { class: "side" }, readings.element, frames.element), commands.element), messages.element, bytes.element);
  main.append(head.element, content);

  let after;
  let byteAfter;
  let history = { interval: 20, series: {}, frames: [] };
  const stops = [
    repeat(500, async () => {
      const answer = await get("device", about);
      setHidden(content, false);
      head.update(answer);
      show(only, ...undeclared(answer));
      setHidden(only, Boolean(answer.device));
      readings.update(answer, history);
      commands.update(answer);
      frames.update(answer, history);
    }),
    repeat(1000, async () => {
      const answer = await get("device/messages", { ...about, after });
      after = answer.next;
      messages.add(answer);
    }),
    repeat(10000, async () => {
      history = await get("device/history", about);
    }),
    repeat(500, async () => {
      if (!bytes.element.open) {
        byteAfter = undefined;
        return;
      }
      const answer = await get("wire", { interface: about.interface, after: byteAfter });
      byteAfter = answer.next;
      bytes.add(answer);
    }),
  ];
  return { stop: () => stops.forEach((stop) => stop()) };
}

function undeclared(answer) {
  if (answer.device) return [];
  if (!answer.devices.length) {
    return [
      "No devices are declared for this interface. Declare them under ",
      h("code", {}, "devices"),
      " in its configuration (docs/devices.md): then this page shows their readings with units and quality, and has their commands.",
    ];
  }
  const links = answer.devices.flatMap((device) => [h("a", { href: deviceLink(answer.interface.name, device), dir: "auto" }, device), " "]);
  return ["This is the interface. Its devices, with their readings and commands: ", ...links];
}

// --- what it is, and what is wrong

function heading(about) {
  const title = h("span", { class: "clip", dir: "auto" }, about.device || about.interface);
  const state = statusElement();
  const heard = h("span", { class: "soft" });
  const words = h("p", { class: "soft clip" });
  const problems = problemList();
  const trail = h("nav", { class: "trail", "aria-label": "Place" }, h("a", { href: "#overview" }, "Overview"), " › ", h("a", { href: deviceLink(about.interface), dir: "auto" }, about.interface));
  return {
    element: h("section", { class: "headline", "aria-label": "Device" }, trail, h("h2", {}, title, " ", state, " ", heard), words, problems.element),
    update({ device, interface: each, problems: found, time }) {
      const status = device?.status ?? each.status;
      setText(title, device ? device.name.trim() || device.id : each.name);
      setStatus(state, status);
      const age = device ? device.age : each.heard_at === null ? null : time - each.heard_at;
      setText(heard, age === null ? "never heard" : `heard ${ago(age)}`);
      const parts = device
        ? [device.name ? device.id : "", device.area, [device.manufacturer, device.model].filter(Boolean).join(" "), `on the interface ${each.name}, which is ${each.status}`]
        : [each.type];
      setText(words, parts.filter(Boolean).join(" · "));
      const reason = device ? device.reason : each.reason;
      const shown = found.length || !reason ? found : [{ level: "degraded", what: reason, remedy: "" }];
      problems.update(shown, time);
    },
  };
}

// --- readings

const WORDS = { true: "on", false: "off" };
const ANSWERS = { true: "yes", false: "no" }; // of what is a question, such as whether there is a problem
const SWITCHES = ["", "heat", "light", "lock", "outlet", "power", "running", "switch"];

function shown(value, point) {
  if (typeof value === "boolean") return (SWITCHES.includes(point.class ?? "") ? WORDS : ANSWERS)[value];
  if (typeof value === "number") return number(value, 8);
  return value === null ? "none" : String(value);
}

function title(point) {
  if (point.name.trim()) return point.name;
  const words = point.key.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function readingList() {
  const body = h("tbody");
  const table = h(
    "table",
    { class: "readings" },
    h("thead", {}, h("tr", {}, ["Reading", "Value", "Last hour", "Read", "Quality"].map((name) => h("th", { scope: "col", class: name === "Value" ? "number" : null }, name)))),
    body,
  );
  const element = h("section", { class: "panel" }, h("h3", {}, "Readings"), table);
  return {
    element,
    update(answer, history) {
      const readings = answer.readings ?? [];
      setHidden(element, !readings.length);
      keyed(body, readings, (reading) => reading.key, readingRow, (row, reading) => updateReading(row, reading, answer.time, history));
    },
  };
}

function readingRow(reading) {
  const row = {
    value: h("span", { class: "value", dir: "auto" }),
    unit: h("span", { class: "soft unit" }),
    chart: chartElement(title(reading)),
    time: h("time"),
    age: h("span", { class: "soft" }),
    quality: statusElement(),
    reason: h("span", { class: "reason" }),
  };
  row.element = h(
    "tr",
    {},
    h("th", { scope: "row", title: reading.key }, h("span", { class: "clip", dir: "auto" }, title(reading))),
    h("td", { class: "number" }, row.value, " ", row.unit),
    h("td", { class: "trend" }, row.chart),
    h("td", { class: "when" }, row.time, " ", row.age),
    h("td", {}, row.quality, " ", row.reason),
  );
  return row;
}

function updateReading(row, reading, now, history) {
  const isText = reading.type === "text" || reading.type === "event";
  setAttribute(row.value, "class", isText ? "value text" : "value");
  setText(row.value, reading.is_set ? shown(reading.value, reading) : "–");
  setText(row.unit, reading.is_set ? reading.unit : "");
  setHidden(row.unit, !row.unit.textContent);
  draw(row.chart, history.series[reading.key] ?? [], history.interval, { isStep: reading.type === "boolean", unit: reading.unit });
  setText(row.time, reading.time === null ? "" : clock(reading.time));
  setText(row.age, reading.time === null ? "never" : ago(now - reading.time));
  setStatus(row.quality, reading.quality);
  setText(row.reason, reading.reason || (reading.quality === "unknown" ? "no value yet" : ""));
  setAttribute(row.reason, "class", reading.reason ? "reason" : "soft");
}

// --- commands

function commandList(about) {
  const forms = h("div", { class: "commands" });
  const hint = h("p", { class: "soft" }, "Only whoever has the token of this page can send commands: press “Enter token” above.");
  const element = h("section", { class: "panel" }, h("h3", {}, "Commands"), hint, forms);
  setHidden(hint, session.may_write);
  return {
    element,
    update(answer) {
      const commands = answer.commands ?? [];
      setHidden(element, !commands.length);
      const values = new Map((answer.readings ?? []).filter((each) => each.is_set).map((each) => [each.key, each.value]));
      // What a form is like may change with the configuration: then it is another form.
      keyed(forms, commands, (command) => JSON.stringify(command), (command) => commandForm(about, command), (row, command) => row.update(values.get(command.key)));
    },
  };
}

function commandForm(about, command) {
  const outcome = h("output", { class: "command-outcome" });
  const buttons = [];
  const button = (text, attributes = {}) => {
    const each = h("button", { disabled: !session.may_write, ...attributes }, text);
    buttons.push(each);
    return each;
  };
  async function send(value) {
    for (const each of buttons) each.setAttribute("aria-busy", "true");
    outcome.className = "command-outcome soft";
    outcome.textContent = "… it is being sent";
    try {
      showOutcome(outcome, await post("command", { ...about, point: command.key, value }));
    } catch (error) {
      outcome.className = "command-outcome bad";
      outcome.textContent = `✕ not sent at ${clock(Date.now() / 1000)}: ${error.message}`;
    } finally {
      for (const each of buttons) each.removeAttribute("aria-busy");
    }
  }
  const { control, update = () => {} } = controlOf(command, button, send);
  const name = title(command);
  const element = h("form", { class: "command", "aria-label": name }, h("span", { class: "name", dir: "auto" }, name), control, outcome);
  let isSending = false;
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSending) return;
    isSending = true;
    try {
      await send(element.value());
    } finally {
      isSending = false;
    }
  });
  element.value = () => control.value?.() ?? null;
  return { element, update };
}

// Return what a value is entered by: the element, whose value() is what is sent, and what shows the value of now.
function controlOf(command, button, send) {
  const group = h("span", { class: "control" });
  const name = title(command);
  if (command.is_button) {
    group.append(button("Do it", { class: "main" }));
    return { control: group };
  }
  if (command.type === "boolean") {
    const choices = command.values.map((value) => [value, button(capital(shown(value, {})), { type: "button", "aria-pressed": "false", onclick: () => send(value) })]);
    group.append(...choices.map(([, each]) => each));
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    return { control: group, update: (now) => choices.forEach(([value, each]) => setAttribute(each, "aria-pressed", String(value === now))) };
  }
  if (command.values) {
    const select = h("select", { "aria-label": name }, command.values.map((value, index) => h("option", { value: index }, shown(value, {}))));
    group.append(select, button("Send", { class: "main" }));
    group.value = () => command.values[select.value];
    let isShown = false;
    return {
      control: group,
      update(now) {
        const index = command.values.indexOf(now);
        if (!isShown && index >= 0) select.value = index;
        isShown = true;
      },
    };
  }
  const isNumber = command.type === "number" || command.type === "integer";
  const { minimum, maximum } = command;
  const input = isNumber
    ? h("input", { type: "number", required: true, step: command.type === "integer" ? 1 : "any", min: minimum, max: maximum, "aria-label": name })
    : h("input", { type: "text", required: command.type === "choice", maxlength: 1000, "aria-label": name });
  const range = minimum !== null && maximum !== null ? `${number(minimum)} to ${number(maximum)}` : minimum !== null ? `at least ${number(minimum)}` : maximum !== null ? `at most ${number(maximum)}` : "";
  group.append(input, h("span", { class: "soft" }, [command.unit, range && `(${range})`].filter(Boolean).join(" ")), button("Send", { class: "main" }));
  group.value = () => (isNumber ? input.valueAsNumber : input.value);
  return { control: group, update: (now) => setAttribute(input, "placeholder", isNumber && typeof now === "number" ? String(now) : "") };
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function showOutcome(element, result) {
  const word = result.outcome;
  const took = result.ms === undefined ? "" : ` after ${result.ms < 1000 ? `${Math.round(result.ms)} ms` : duration(result.ms / 1000)}`;
  const where = result.where ? ` at the stage ${result.where}` : "";
  element.className = "command-outcome";
  element.replaceChildren(
    h("strong", {}, outcome(word)),
    ` at ${clock(result.time)}${took}${where}${result.reason ? `: ${result.reason}` : ""}`,
    ...(result.answer && word !== "OK" ? [", and answered ", h("code", {}, bytesText(result.answer))] : []),
  );
}

// --- frames

const FRAMES = [
  ["frames_received", "Frames received"],
  ["frames_unmatched", "Frames that no rule takes", "unknown"],
  ["unmatched_kinds", "Kinds of frames that no rule takes", "unknown"],
  ["frames_unreadable", "Frames that could not be read", "unknown"],
  ["frames_bad_checksum", "Frames with a wrong checksum"],
  ["frames_unjoined", "Frames whose other parts did not come"],
  ["frames_ignored", "Frames that a rule ignores"],
  ["values_unreadable", "Values that could not be read"],
  ["bytes_discarded", "Bytes outside of frames"],
  ["partial_frames_discarded", "Incomplete frames"],
  ["frames_sent", "Frames sent"],
  ["requests_done", "Requests answered"],
  ["requests_timed_out", "Requests without an answer"],
  ["requests_refused", "Requests that the device refused"],
  ["commands_done", "Commands executed"],
  ["commands_timed_out", "Commands without an answer"],
  ["answers_received", "Answers received"],
  ["commands_refused", "Commands that were refused"],
];
const USUAL = ["frames_received", "frames_sent", "frames_ignored", "requests_done", "commands_done", "answers_received", "replies_sent", "echoes_removed"];

function frameList(about) {
  const list = h("dl", { class: "counts" });
  const chart = chartElement("Frames");
  const where = about.device ? h("span", { class: "soft" }, `of the interface ${about.interface}, since its start`) : h("span", { class: "soft" }, "since its start");
  const none = h("p", { class: "soft" }, "This interface counts no frames.");
  const element = h("section", { class: "panel frames" }, h("div", { class: "bar" }, h("h3", {}, "Frames"), where, h("span", { class: "grow" }), chart), list, none);
  return {
    element,
    update(answer, history) {
      const counts = answer.interface.frames;
      const known = new Map(FRAMES.map(([key, name, view]) => [key, [name, view]]));
      const keys = [...known.keys(), ...Object.keys(counts).filter((key) => !known.has(key))];
      const shownKeys = keys.filter((key) => counts[key] || (key === "frames_received" && key in counts));
      keyed(list, shownKeys, (key) => key, (key) => countItem(key, ...(known.get(key) ?? [capital(key.replaceAll("_", " "))])), (row, key) => setText(row.count, number(counts[key])));
      setHidden(none, shownKeys.length > 0);
      draw(chart, history.frames, history.interval, { least: 0, unit: "/s" });
    },
  };
}

function countItem(key, name, view) {
  const count = h("dd", { class: "number" });
  const isBad = !USUAL.includes(key);
  const term = h("dt", {}, isBad ? h("span", { class: "warn", "aria-hidden": "true" }, "▲ ") : "", view ? h("a", { href: `#${view}` }, name) : name);
  return { count, element: h("div", {}, term, count) };
}

// --- messages

function messageList() {
  const list = h("div", { class: "scroll" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const fresh = h("button", { type: "button", hidden: true });
  const missed = h("span", { class: "soft", role: "status" });
  const none = h("p", { class: "soft" }, "No message has passed since this page was opened: they are followed only while somebody looks.");
  let waiting = [];
  let isPaused = false;
  let lost = 0;
  function showWaiting() {
    for (const note of waiting) list.prepend(messageLine(note));
    while (list.childElementCount > MOST_MESSAGES) list.lastElementChild.remove();
    waiting = [];
    setHidden(fresh, true);
    setHidden(none, list.childElementCount > 0);
  }
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    setAttribute(pause, "aria-pressed", String(isPaused));
    setText(pause, isPaused ? "Continue" : "Pause");
    if (!isPaused) showWaiting();
  });
  fresh.addEventListener("click", showWaiting);
  return {
    element: h("section", { class: "panel" }, h("div", { class: "bar" }, h("h3", {}, "Last messages"), missed, h("span", { class: "grow" }), fresh, pause), none, list),
    add(answer) {
      lost += answer.missed;
      if (lost) setText(missed, `${number(lost)} came too fast to be shown`);
      waiting.push(...answer.notes);
      waiting = waiting.slice(-MOST_MESSAGES);
      // Whoever reads one message, or has got to it by keyboard, does not want the others to push it away.
      if (!isPaused && !list.querySelector("details[open]") && !list.contains(document.activeElement)) return showWaiting();
      setHidden(fresh, !waiting.length);
      setText(fresh, `Show ${number(waiting.length)} new`);
    },
  };
}

// --- bytes

function byteList() {
  const body = h("tbody");
  const note = h("p", { class: "soft" }, "All that is read from the interface and written to it, from now on, the newest first.");
  const table = h("table", { class: "bytes" }, h("thead", {}, h("tr", {}, ["Time", "", "Bytes"].map((name) => h("th", { scope: "col" }, name)))), body);
  const element = h("details", { class: "panel" }, h("summary", {}, h("h3", {}, "Raw bytes, live")), note, h("div", { class: "scroll" }, table));
  return {
    element,
    add(answer) {
      if (answer.missed) body.prepend(h("tr", {}, h("td", { colspan: 3, class: "warn" }, `▲ ${number(answer.missed)} reads and writes came too fast to be shown`)));
      for (const each of answer.notes) {
        const [stage] = each.stages;
        const isRead = stage.stage === "read";
        body.prepend(
          h(
            "tr",
            {},
            h("td", { class: "mono" }, clock(each.time)),
            h("td", {}, isRead ? "→ read" : "← written"),
            h("td", {}, h("code", {}, stage.text ?? ""), h("code", { class: "soft" }, spaced(stage.hex ?? ""))),
          ),
        );
      }
      while (body.childElementCount > MOST_BYTES) body.lastElementChild.remove();
    },
  };
}
