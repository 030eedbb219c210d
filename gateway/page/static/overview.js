// The whole gateway: what is wrong and what to do, the link, the outbox, what passes, and all devices.

import { get } from "./api.js";
import { countUnknown, repeat } from "./app.js";
import { chartElement, draw } from "./chart.js";
import { h } from "./dom.js";
import { problemList } from "./problems.js";
import { deviceLink, keyed, setAttribute, setHidden, setStatus, setText, statusElement } from "./update.js";
import { ago, duration, number } from "./words.js";

const MOST_SHOWN = 1000; // devices in the list; a filter finds the others
const RATE_SECONDS = 10; // over which the rate of this moment is taken
const DROPPED = {
  dropped_old: "dropped as the oldest", refused_new: "refused as the newest", expired: "expired",
  dead_letters_dropped: "dead letters dropped",
};
const STATES = { 1: "online", 0: "offline", "-": "unknown" };

export function open(main) {
  const head = headline();
  const cards = Object.fromEntries(
    [["link", "Link"], ["in", "Messages in"], ["out", "Messages out"], ["outbox", "Outbox"], ["commands", "Commands"]].map(([key, title]) => [key, card(title)]),
  );
  const list = deviceList();
  main.append(head.element, h("div", { class: "cards" }, Object.values(cards).map((each) => each.element)), list.element);
  const rates = new Rates();
  let names = null;
  let history = { interval: 20, series: {} };
  const stopHistory = repeat(10000, async () => {
    history = await get("history");
    countUnknown((await get("unknown")).groups.length);
  });
  const stop = repeat(1000, async () => {
    const answer = await get("overview");
    if (names?.revision !== answer.revision) names = await get("devices");
    rates.add(answer.rates);
    head.update(answer);
    updateCards(cards, answer, rates, history);
    list.update(answer, names, rates, history);
  });
  return {
    stop() {
      stop();
      stopHistory();
    },
  };
}

// --- what is wrong

function headline() {
  const state = statusElement();
  const summary = h("span");
  const problems = problemList({ hasLinks: true });
  const last = h("p", { class: "soft last-error" });
  const about = h("p", { class: "soft" });
  return {
    element: h("section", { class: "headline", "aria-label": "State" }, h("h2", {}, state, " ", summary), problems.element, last, about),
    update(answer) {
      const count = answer.problems.length;
      setStatus(state, answer.level, answer.level === "well" ? "All is well" : count === 1 ? "One problem" : `${count} problems`);
      setText(summary, `— ${answer.summary}`);
      problems.update(answer.problems, answer.time);
      const error = answer.last_error;
      setHidden(last, !error);
      if (error) setText(last, `The last ${error.level} in the log, ${ago(answer.time - error.time)}: ${error.text}`);
      setText(about, `mqttgateway ${answer.version}, running for ${duration(answer.uptime)}, with ${answer.process.configuration}`);
    },
  };
}

// --- figures

function card(title) {
  const value = h("p", { class: "figure" });
  const facts = h("dl");
  const chart = chartElement(title);
  return { value, facts, chart, element: h("section", { class: "panel card" }, h("h3", {}, title), value, chart, facts) };
}

function setFacts(card, facts) {
  keyed(card.facts, facts.filter(([, text]) => text !== ""), ([name]) => name, factItem, (row, [, text]) => setText(row.text, text));
}

function factItem([name]) {
  const text = h("dd");
  return { text, element: h("div", {}, h("dt", {}, name), text) };
}

function updateCards(cards, answer, rates, { interval, series }) {
  const { link, outbox } = answer;
  const trip = link.round_trip === null ? "" : `${number(link.round_trip * 1000, 3)} ms`;
  setStatus(statusIn(cards.link.value), link.is_up ? "online" : "offline", link.is_up ? "up" : link.state);
  setFacts(cards.link, [
    ["Server", link.broker],
    ["Protocol", link.protocol],
    [link.is_up ? "Up for" : "Down for", link.since === null ? "" : duration(Math.floor(answer.time - link.since))],
    ["Round trip", trip],
    ["Connected", link.connects === 1 ? "once" : `${number(link.connects)} times`],
  ]);
  draw(cards.link.chart, (series.round_trip ?? []).map((value) => value === null ? null : value * 1000), interval, { least: 0, unit: "ms" });
  for (const [key, text] of [["in", "Received"], ["out", "Accepted"]]) {
    setText(cards[key].value, rates.text(key));
    setFacts(cards[key], [[text, number(answer.rates.counts[key])]]);
    draw(cards[key].chart, series[key] ?? [], interval, { least: 0, unit: "/s" });
  }
  setText(cards.outbox.value, outbox.waiting ? `${number(outbox.waiting)} waiting` : "empty");
  setFacts(cards.outbox, [
    ["Oldest waits for", outbox.waiting ? duration(outbox.oldest) : ""],
    ["Level", `${outbox.level_percent} %`],
    ["Dead letters", number(outbox.dead_letters)],
    ...Object.entries(outbox.dropped).map(([kind, count]) => [DROPPED[kind] ?? kind, number(count)]),
    ["Kept", outbox.file ? "on disk" : "in memory"],
  ]);
  draw(cards.outbox.chart, series.outbox ?? [], interval, { least: 0, unit: "waiting" });
  const { outcomes, refused } = answer.commands;
  const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  setText(cards.commands.value, total ? number(total) : "none yet");
  setHidden(cards.commands.chart, true);
  setFacts(cards.commands, [
    ...Object.entries(outcomes).map(([outcome, count]) => [outcome, number(count)]),
    ...Object.entries(refused).map(([kind, count]) => [kind.replaceAll("_", " "), number(count)]),
  ]);
}

function statusIn(element) {
  if (!element.firstElementChild) element.append(statusElement());
  return element.firstElementChild;
}

// The rates of this moment, from counters of the last seconds.
class Rates {
  answers = [];
  isFirst = true; // its counters may be those of a while ago: each question has the interfaces count again

  add(rates) {
    if (this.answers.at(-1)?.at === rates.at) return;
    if (!this.isFirst) this.answers.push(rates);
    this.isFirst = false;
    while (this.answers.length > 2 && rates.at - this.answers[1].at >= RATE_SECONDS) this.answers.shift();
  }

  text(key, unit = "/s") {
    const [first, last] = [this.answers[0], this.answers.at(-1)];
    if (first === last || first.counts[key] === undefined) return "…";
    const rate = Math.max(0, last.counts[key] - first.counts[key]) / (last.at - first.at);
    return `${rate >= 100 ? number(Math.round(rate)) : rate ? rate.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : "0"} ${unit}`;
  }
}

// --- interfaces and devices

function deviceList() {
  const filter = h("input", { type: "search", placeholder: "name, id, area, or offline", autocomplete: "off", spellcheck: "false" });
  const count = h("span", { class: "soft", role: "status" });
  const interfaces = h("div");
  const none = h("p", { class: "soft" }, "This gateway has no interfaces.");
  let last = null;
  const list = {
    element: h(
      "section",
      { "aria-label": "Devices" },
      h("div", { class: "bar" }, h("h2", {}, "Devices"), h("label", {}, "Filter ", filter), count),
      none,
      interfaces,
    ),
    update(answer, names, rates, history) {
      last = [answer, names, rates, history];
      const words = filter.value.trim().toLowerCase();
      const shown = { left: MOST_SHOWN, count: 0, total: 0 };
      const entries = Object.entries(answer.interfaces);
      const groups = entries.map(([name, each]) => [name, each, devicesOf(name, each, names, words, shown)]);
      setHidden(none, entries.length > 0);
      keyed(interfaces, groups, ([name]) => name, interfaceSection, (row, group) => updateInterface(row, group, { words, answer, rates, history }));
      setText(count, shown.count < shown.total ? `${number(shown.count)} of ${number(shown.total)} devices are shown` : shown.total === 1 ? "1 device" : `${number(shown.total)} devices`);
    },
  };
  filter.addEventListener("input", () => last && list.update(...last));
  return list;
}

function devicesOf(name, each, names, words, shown) {
  const listed = names.interfaces[name] ?? [];
  if (names.revision === undefined || listed.length !== each.states.length) return [];
  const reasons = new Map();
  for (const [reason, places] of Object.entries(each.reasons)) for (const place of places) reasons.set(place, reason);
  shown.total += listed.length;
  const devices = [];
  for (let place = 0; place < listed.length && devices.length < shown.left; place++) {
    const [id, title, area] = listed[place];
    const state = STATES[each.states[place]];
    if (words && !`${id}\n${title}\n${area}\n${state}\n${name}`.toLowerCase().includes(words)) continue;
    devices.push({ id, title, area, state, age: each.ages[place], reason: reasons.get(place) ?? "", interface: name });
  }
  shown.left -= devices.length;
  shown.count += devices.length;
  return devices;
}

function interfaceSection([name]) {
  const row = {
    name,
    state: statusElement(),
    heard: h("span", { class: "soft" }),
    rate: h("span", { class: "number" }),
    chart: chartElement(`Frames of ${name}`),
    reason: h("p", { class: "reason" }),
    devices: h("ul", { class: "devices" }),
    none: h("p", { class: "soft" }, "No devices are declared: ", h("a", { href: deviceLink(name) }, "show its frames, messages and bytes"), "."),
  };
  row.element = h(
    "section",
    { class: "panel interface" },
    h("div", { class: "bar" }, h("h3", {}, h("a", { href: deviceLink(name), dir: "auto" }, name)), row.state, row.heard, h("span", { class: "grow" }), row.chart, row.rate),
    row.reason,
    row.devices,
    row.none,
  );
  return row;
}

function updateInterface(row, [, each, devices], { words, answer, rates, history }) {
  const { name } = row;
  setStatus(row.state, each.status);
  setText(row.heard, each.heard_at === null ? "never heard" : `heard ${ago(answer.time - each.heard_at)}`);
  setText(row.rate, rates.text(`frames/${name}`, "frames/s"));
  draw(row.chart, history.series[`frames/${name}`] ?? [], history.interval, { least: 0, unit: "/s" });
  setText(row.reason, each.reason);
  setHidden(row.reason, !each.reason);
  setHidden(row.none, each.states.length > 0);
  keyed(row.devices, devices, (device) => device.id, deviceItem, updateDevice);
  setHidden(row.devices, !devices.length);
  setHidden(row.element, words !== "" && !devices.length);
}

function deviceItem(device) {
  const row = {
    state: statusElement(),
    name: h("span", { class: "name", dir: "auto" }),
    age: h("span", { class: "age soft" }),
    about: h("span", { class: "about soft", dir: "auto" }),
    reason: h("span", { class: "reason" }),
  };
  row.element = h(
    "li",
    {},
    h("a", { href: deviceLink(device.interface, device.id) }, row.state, row.name, row.age, row.about),
    row.reason,
  );
  return row;
}

function updateDevice(row, device) {
  setStatus(row.state, device.state, "");
  setAttribute(row.state, "title", device.state);
  setAttribute(row.element, "class", device.state);
  setText(row.name, device.title.trim() || device.id);
  setText(row.age, device.age === null ? "never heard" : ago(device.age));
  const words = [device.title ? device.id : "", device.area, device.state === "online" ? "" : device.state];
  setText(row.about, words.filter(Boolean).join(" · "));
  setText(row.reason, device.reason);
  setHidden(row.reason, !device.reason);
}
