// What passes through the gateway, as it comes: its messages, or the bytes of one interface. The newest is on top.

import { get, Refused } from "./api.js";
import { tell } from "./app.js";
import { h } from "./dom.js";
import { messageLine } from "./message.js";
import { bytesText, counted, moment, spaced } from "./words.js";

const MOST_LINES = 500; // in the document
const MOST_HELD = 500; // that wait while it is paused
const WAIT = 15; // s that the gateway may take for an answer
const PAUSE = 1000; // ms until it is asked again, if it has answered at once that there is nothing
const FRAME = 250; // ms between two changes of the document
const TYPING = 400; // ms without a key until what was typed is used
const FILTERS = ["device", "rule", "topic", "outcome"];

export function open(main, parameters) {
  const inputs = {
    device: h("input", { id: "live-device", size: 14, placeholder: "boiler*", autocapitalize: "off", spellcheck: "false" }),
    rule: h("input", { id: "live-rule", size: 10, placeholder: "temperature", autocapitalize: "off", spellcheck: "false" }),
    topic: h("input", { id: "live-topic", size: 16, placeholder: "home/+/kitchen/#", autocapitalize: "off", spellcheck: "false" }),
    outcome: h("select", { id: "live-outcome" }, ["", "acknowledged", "sent", "waiting", "held back", "delivered", "OK", "FAILED", "REFUSED", "dropped"].map((word) => h("option", { value: word }, word || "any"))),
    drops: h("input", { type: "checkbox", id: "live-drops" }),
    show: h("select", { id: "live-show" }, h("option", { value: "" }, "messages")),
  };
  for (const name of FILTERS) inputs[name].value = parameters.get(name) ?? "";
  if (inputs.outcome.value !== (parameters.get("outcome") ?? "")) {
    inputs.outcome.append(h("option", { value: parameters.get("outcome") }, parameters.get("outcome")));
    inputs.outcome.value = parameters.get("outcome");
  }
  inputs.drops.checked = parameters.get("drops") === "1";
  const names = h("datalist", { id: "live-names" });
  inputs.device.setAttribute("list", names.id);
  offer([parameters.get("interface") ?? ""]);
  inputs.show.value = parameters.get("interface") ?? "";

  const label = (text, input) => h("label", { for: input.id, class: "filter" }, h("span", {}, text), input);
  const ofMessages = [label("Device or interface", inputs.device), label("Rule", inputs.rule), label("Topic", inputs.topic), label("Outcome", inputs.outcome), h("label", {}, inputs.drops, "Only drops")];
  const pauseButton = h("button", { type: "button", onclick: togglePause }, "Pause");
  const clearButton = h("button", { type: "button", onclick: clear }, "Clear");
  const problem = h("p", { class: "bad", role: "alert", hidden: true });
  const state = h("p", { class: "soft" });
  const list = h("div", { class: "messages" });
  list.addEventListener("toggle", () => draw(), true);
  list.addEventListener("focusout", () => schedule());
  const form = h("form", { class: "filters panel", "aria-label": "What is shown" }, label("Show", inputs.show), ofMessages, names, h("span", { class: "buttons" }, pauseButton, clearButton));
  form.addEventListener("submit", (event) => event.preventDefault());
  main.append(h("h2", {}, "What passes"), form, problem, state, list);

  let shown = ""; // the interface whose bytes are in the list; "": messages. The choice may already be another one
  let visit = null; // the controller of what is being asked for; it is replaced when something else is to be shown
  let isEnded = false;
  let isPaused = false;
  let held = []; // notes that are not in the document yet
  let heldBeyond = 0;
  let frame = null;
  let took = 0; // ms that the last change of the document took
  let typing = null;
  let total = 0;
  let previous = null;

  // Offer the bytes of these interfaces, too.
  function offer(interfaces) {
    for (const name of interfaces) {
      if (!name || [...inputs.show.options].some((option) => option.value === name)) continue;
      inputs.show.append(h("option", { value: name }, `bytes of ${name}`));
      names.append(h("option", { value: name }));
    }
  }

  function query() {
    if (inputs.show.value) return { interface: inputs.show.value };
    return { ...Object.fromEntries(FILTERS.map((name) => [name, inputs[name].value.trim()])), drops: inputs.drops.checked ? "1" : "" };
  }

  function restart() {
    visit?.abort();
    shown = inputs.show.value;
    clear();
    for (const each of ofMessages) each.hidden = Boolean(shown);
    problem.hidden = true;
    const wanted = Object.fromEntries(Object.entries(query()).filter(([, value]) => value));
    history.replaceState(null, "", `#live${Object.keys(wanted).length ? `?${new URLSearchParams(wanted)}` : ""}`);
    visit = new AbortController();
    follow(visit.signal, shown ? "wire" : "live", query());
  }

  // Ask until this is left, or something else is wanted.
  async function follow(signal, path, wanted) {
    let after = -1;
    describe();
    while (!signal.aborted) {
      if (document.hidden) {
        await seen(signal);
        continue;
      }
      const asked = performance.now();
      try {
        const news = await get(path, { ...wanted, after, wait: after < 0 ? 0 : WAIT }, signal);
        if (signal.aborted) return;
        tell("");
        problem.hidden = true;
        if (after >= 0 && news.has_gap) gap("Some time was not followed: nobody has counted what passed meanwhile.");
        if (news.missed) gap(`${counted(news.missed, "message")} passed too fast, and ${news.missed === 1 ? "is" : "are"} not shown. A filter shows more of less.`);
        news.notes.forEach(receive);
        const isIdle = after >= 0 && !news.notes.length && performance.now() - asked < PAUSE;
        after = news.next;
        if (isIdle) await sleep(PAUSE, signal);
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error instanceof Refused && [400, 403, 409].includes(error.status)) {
          problem.textContent = error.message;
          problem.hidden = false;
          return;
        }
        if (error instanceof Refused && error.status === 401) return location.reload(); // the token is no longer that of the page
        tell(error.message);
        await sleep(2000, signal);
      }
    }
  }

  function receive(note) {
    total += 1;
    held.push(note);
    if (held.length > MOST_HELD) {
      held.shift();
      heldBeyond += 1;
    }
    schedule();
  }

  function gap(text) {
    held.push({ gap: text });
    if (held.length > MOST_HELD) held.shift();
    schedule();
  }

  function schedule() {
    if (frame === null) frame = setTimeout(draw, Math.max(FRAME, 3 * took));
  }

  // Whoever reads one line, or has got to it by keyboard, does not want the others to push it away.
  function isRead() {
    return list.querySelector("details[open], :focus-visible") !== null;
  }

  // Bring what is held into the document. Who has scrolled down goes on seeing the same lines.
  function draw() {
    frame = null;
    if (isEnded) return;
    const began = performance.now();
    if (!isPaused && held.length && !isRead()) {
      if (heldBeyond) held.unshift({ gap: `${counted(heldBeyond, "line")} came meanwhile, and ${heldBeyond === 1 ? "is" : "are"} not shown.` });
      const lines = held.map((note) => (note.gap ? h("p", { class: "gap" }, note.gap) : shown ? bytesLine(note) : messageLine(note)));
      held = [];
      heldBeyond = 0;
      const isReading = scrollY > list.offsetTop;
      const anchor = isReading ? list.firstElementChild : null;
      const before = anchor?.offsetTop ?? 0;
      list.prepend(...lines.reverse());
      while (list.childElementCount > MOST_LINES) list.lastElementChild.remove();
      if (anchor?.isConnected) scrollBy(0, anchor.offsetTop - before);
    }
    describe();
    took = performance.now() - began;
  }

  function bytesLine(note) {
    const [stage] = note.stages;
    const time = Date.parse(note.time);
    const passed = previous === null ? "" : `+${((time - previous) / 1000).toFixed(3)} s`;
    previous = time;
    return h("details", { class: "message bytes" }, h("summary", {}, h("time", { datetime: note.time }, moment(note.time)), h("span", { class: "soft passed" }, passed), h("span", { class: `outcome ${stage.stage === "read" ? "good" : "warn"}` }, stage.stage === "read" ? "→ read" : "← written"), h("span", { class: "what" }, h("code", {}, bytesText(stage)))), h("pre", {}, hexRows(stage.hex)), h("p", { class: "soft" }, counted(stage.bytes, "byte")));
  }

  function describe() {
    const waiting = held.length + heldBeyond;
    const isStopped = isPaused || isRead();
    pauseButton.textContent = isStopped ? "Continue" : "Pause";
    pauseButton.setAttribute("aria-pressed", String(isStopped));
    const why = isPaused ? "Paused." : "You are in a line: nothing moves until it is closed, or left.";
    if (isStopped) state.textContent = heldBeyond ? `${why} Of the ${counted(waiting, "line")} that wait, the last ${MOST_HELD} are kept.` : `${why} ${counted(waiting, "line")} ${waiting === 1 ? "waits" : "wait"}.`;
    else state.textContent = total ? `${counted(total, shown ? "piece" : "message")} so far; the newest is on top, and the last ${MOST_LINES} are kept.` : "Nothing has come yet.";
  }

  function togglePause() {
    isPaused = !isPaused && !isRead();
    if (!isPaused) for (const line of list.querySelectorAll("details[open]")) line.open = false;
    draw();
  }

  function clear() {
    held = [];
    heldBeyond = total = 0;
    previous = null;
    list.replaceChildren();
    describe();
  }

  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(restart, event.target.type === "checkbox" || event.target.tagName === "SELECT" ? 0 : TYPING);
  });
  restart();
  get("live/interfaces").then((answer) => offer(answer.interfaces), () => {});
  return {
    stop() {
      isEnded = true;
      visit?.abort();
      clearTimeout(frame);
      clearTimeout(typing);
    },
  };
}

function hexRows(digits) {
  return (digits.match(/.{1,32}/g) ?? []).map(spaced).join("\n");
}

function sleep(time, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, time);
    signal.addEventListener("abort", end);
  });
}

// Wait until the page can be seen again.
function seen(signal) {
  return new Promise((resolve) => {
    const end = () => {
      document.removeEventListener("visibilitychange", end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    document.addEventListener("visibilitychange", end);
    signal.addEventListener("abort", end);
  });
}
