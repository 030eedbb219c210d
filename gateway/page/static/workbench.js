// The workbench: frames, the rules beside them, and what these make of the frames, as one types.

import { get, post, token, Refused } from "./api.js";
import { repeat, session, tell } from "./app.js";
import { h } from "./dom.js";

const PAUSE = 300; // ms after the last key before the rules are tried
const MOST_FRAMES = 200;

// What was typed stays while other views are shown: by interface, the text, the frames, the edition it began with.
const drafts = new Map();
let chosen = "";

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some((draft) => draft.text !== draft.saved)) event.preventDefault();
});

export function open(main, parameters) {
  let draft = null;
  let timer = null;
  let ended = false;
  let number = 0;
  let stopCatching = null;

  const select = h("select", { id: "wb-interface", onchange: () => load(select.value) });
  const note = h("p", { class: "soft", hidden: true });
  const frames = h("textarea", { id: "wb-frames", rows: 8, spellcheck: "false", autocapitalize: "off", wrap: "off", placeholder: "T 21.5\\r\\n", "aria-describedby": "wb-frames-help" });
  const hex = h("input", { type: "checkbox", id: "wb-hex" });
  const commands = h("input", { type: "text", id: "wb-command", spellcheck: "false", autocapitalize: "off", placeholder: "location=hall SET level=50" });
  const catching = h("button", { type: "button", "aria-pressed": "false", onclick: toggleCatching }, "Catch frames");
  const caught = h("span", { class: "soft", role: "status" });
  const numbers = h("pre", { class: "wb-numbers", "aria-hidden": "true" });
  const editor = h("textarea", { id: "wb-editor", class: "wb-editor", rows: 24, spellcheck: "false", autocapitalize: "off", wrap: "off", "aria-describedby": "wb-editor-help" });
  const origin = h("p", { class: "soft" });
  const state = h("p", { role: "status", class: "wb-state" });
  const findings = h("ul", { class: "problems" });
  const results = h("ol", { class: "wb-results" });
  const outcome = h("p", { role: "status", class: "wb-outcome", hidden: true });
  const download = h("button", { type: "button", onclick: downloadText }, "Download");
  const save = h("button", { type: "button", class: "main", onclick: saveText }, "Save and use");
  const undo = h("button", { type: "button", onclick: () => change("undo", "Taken back") }, "Take back the last save");
  const revert = h("button", { type: "button", onclick: revertText }, "Forget what I typed");
  const discard = h("button", { type: "button", onclick: discardAll }, "Discard changes of the page");

  main.append(
    h("h2", {}, "Workbench"),
    h("p", { class: "soft" }, "Paste or catch frames, and edit the rules beside them. Nothing is changed until you save, and each save can be taken back."),
    h("p", {}, h("label", { for: "wb-interface" }, "Interface ", select)),
    note,
    h("div", { class: "wb-grid" },
      h("section", { class: "panel", "aria-labelledby": "wb-h-frames" },
        h("h3", { id: "wb-h-frames" }, h("label", { for: "wb-frames" }, "Frames")),
        frames,
        h("p", { class: "soft", id: "wb-frames-help" }, "One in each line. Escapes: \\r \\n \\t \\\\ \\xNN."),
        h("p", { class: "wb-row" }, catching, h("label", {}, hex, "hexadecimal"), caught),
        h("h3", {}, h("label", { for: "wb-command" }, "Command")),
        commands,
        h("p", { class: "soft" }, "Shown is what would be written to the device. Nothing is sent.")),
      h("section", { class: "panel wb-rules", "aria-labelledby": "wb-h-rules" },
        h("h3", { id: "wb-h-rules" }, h("label", { for: "wb-editor" }, "Rules, devices and words")),
        h("div", { class: "wb-frame" }, numbers, editor),
        h("p", { class: "soft", id: "wb-editor-help" }, "Tab indents; press Escape and then Tab to leave the field. A word that the map lacks is added so: ", h("code", {}, "words: {action: {DOOR: [door]}}"), "."),
        origin,
        h("p", { class: "wb-row" }, save, download, revert, undo, discard),
        outcome),
      h("section", { class: "panel", "aria-labelledby": "wb-h-result" },
        h("h3", { id: "wb-h-result" }, "What comes of it"),
        state, findings, results)),
  );

  // --- the interface and its text

  async function load(name, isFresh = false) {
    stopCatch();
    try {
      const answer = await get("workbench", { interface: name });
      if (ended) return;
      chosen = answer.interface;
      select.replaceChildren(...answer.interfaces.map((each) => h("option", { value: each, selected: each === chosen }, each)));
      select.value = chosen;
      const kept = drafts.get(chosen);
      const isKept = kept && !isFresh && kept.text !== kept.saved;
      draft = isKept ? kept : { text: answer.text, saved: answer.text, edition: answer.edition, frames: kept?.frames ?? answer.frames.join("\n"), hex: kept?.hex ?? false, command: kept?.command ?? "" };
      drafts.set(chosen, draft);
      Object.assign(draft, { isEditable: answer.is_editable, isUndoable: answer.is_undoable, fromPage: answer.from_page, file: answer.file, configuration: answer.configuration, options: answer.options, place: answer.place });
      note.textContent = answer.note;
      note.hidden = !answer.note;
      take();
      editor.value = draft.text;
      editor.readOnly = !answer.is_editable;
      editor.placeholder = answer.is_editable ? `You can write here: ${answer.options.join(", ")}` : "";
      frames.value = draft.frames;
      hex.checked = draft.hex;
      commands.value = draft.command;
      if (isKept && draft.edition !== answer.edition) say("The file has changed since you began to type: a save will be refused. Copy what you have typed, and then forget it here.", "warn");
      update();
      attempt();
    } catch (error) {
      if (!ended) say(error.message, "bad");
    }
  }

  // A frame, and lines for the rules, that another view hands over.
  function take() {
    const frame = parameters.get("frame");
    const added = parameters.get("add");
    const words = JSON.parse(parameters.get("words") ?? "[]");
    if (!["frame", "add", "words"].some((name) => parameters.has(name))) return;
    if (frame) {
      draft.hex = false;
      draft.frames = frame;
    }
    if (added && draft.isEditable && !draft.text.includes(added.trim())) {
      draft.text = withRule(draft.text, added);
    }
    if (draft.isEditable) for (const [field, internal, mqtt] of words) draft.text = withWord(draft.text, field, internal, mqtt);
    for (const name of ["frame", "add", "words"]) parameters.delete(name);
    history.replaceState(null, "", `#workbench?interface=${encodeURIComponent(chosen)}`);
  }

  // Put an entry behind the last one of its list; without a list of that name, at the end.
  function withRule(text, added) {
    const lines = text.replace(/\n+$/, "").split("\n");
    const lists = /^\s*- (match|write)\b/.test(added) ? "encode" : "decode";
    const head = lines.findIndex((line) => new RegExp(`^${lists}:\\s*(#.*)?$`).test(line));
    if (/^\w+:/.test(added)) return `${lines.join("\n")}\n\n${added.trim()}\n`.replace(/^\n+/, "");
    if (head < 0) return `${lines.join("\n")}\n\n${lists}:\n${added.replace(/\n+$/, "").split("\n").map((line) => `  ${line}`).join("\n")}\n`.replace(/^\n+/, "");
    let end = head + 1;
    while (end < lines.length && (/^(\s|-|#)/.test(lines[end]) || !lines[end])) end++;
    while (!lines[end - 1].trim()) end--;
    const item = lines.slice(head + 1, end).find((line) => /^\s*- /.test(line)) ?? "  - ";
    const margin = item.match(/^\s*/)[0];
    const fresh = added.replace(/\n+$/, "").split("\n");
    const own = fresh[0].match(/^\s*/)[0].length;
    lines.splice(end, 0, ...fresh.map((line) => margin + line.slice(Math.min(own, line.match(/^\s*/)[0].length))));
    return `${lines.join("\n")}\n`;
  }

  // Put a word of the map below its field; if the words stand in one line, whoever edits them has to do it.
  function withWord(text, field, internal, mqtt) {
    const entry = `${JSON.stringify(internal)}: [${JSON.stringify(mqtt)}]`;
    if (text.includes(entry)) return text;
    const lines = text.replace(/\n+$/, "").split("\n");
    const head = lines.findIndex((line) => /^words:/.test(line));
    if (head < 0) return `${lines.join("\n")}\n\nwords:\n  ${field}:\n    ${entry}\n`.replace(/^\n+/, "");
    const end = lines.findIndex((line, index) => index > head && /^[^\s#]/.test(line));
    const place = lines.findIndex((line, index) => index > head && (end < 0 || index < end) && new RegExp(`^\\s+${field}:`).test(line));
    const above = place < 0 ? head : place;
    if (/:\s*[^\s#]/.test(lines[above])) {
      say(`Add this to words, below ${field}: ${entry}`, "warn");
      return text;
    }
    const margin = (lines[above + 1] ?? "").match(/^\s*/)[0] || `${lines[above].match(/^\s*/)[0]}  `;
    lines.splice(above + 1, 0, ...(place < 0 ? [`${margin}${field}:`, `${margin}  ${entry}`] : [`${margin}${entry}`]));
    return `${lines.join("\n")}\n`;
  }

  function update() {
    const isChanged = draft.text !== draft.saved;
    const count = draft.text.split("\n").length;
    const text = Array.from({ length: count }, (_, index) => index + 1).join("\n");
    if (numbers.textContent !== text) numbers.textContent = text;
    download.disabled = !draft.isEditable;
    const canWrite = draft.isEditable && session.has_token;
    save.disabled = !canWrite || !isChanged;
    save.title = session.has_token ? "" : "Saving needs a token: set web.token_file in the configuration";
    revert.disabled = !isChanged;
    undo.disabled = !draft.isUndoable || !canWrite;
    discard.disabled = !draft.fromPage.length || !session.has_token;
    origin.textContent = draft.fromPage.length
      ? `From the page file ${draft.file}: ${draft.fromPage.join(", ")}. Everything else stands in ${draft.configuration}.`
      : `All of this stands in ${draft.configuration}; a save writes what you change into ${draft.file}.`;
    if (!session.has_token) origin.textContent += " This page has no token, so nothing can be saved here: download the result, or set web.token_file.";
  }

  function say(text, kind = "") {
    outcome.textContent = text;
    outcome.className = `wb-outcome ${kind}`;
    outcome.hidden = !text;
  }

  // --- trying

  function later(pause = PAUSE) {
    clearTimeout(timer);
    timer = setTimeout(attempt, pause);
  }

  async function attempt() {
    if (!draft || !draft.isEditable) {
      show({ findings: [], results: [] }, [], []);
      return;
    }
    const own = ++number;
    const texts = draft.frames.split("\n").filter((line) => line.trim()).slice(0, MOST_FRAMES);
    const words = draft.command.trim() ? [draft.command.trim()] : [];
    try {
      const answer = await post("workbench/try", { interface: chosen, text: draft.text, frames: texts, notation: draft.hex ? "hex" : "text", commands: words });
      if (ended || own !== number) return;
      tell("");
      show(answer, texts, words);
    } catch (error) {
      if (ended || own !== number) return;
      if (error instanceof Refused && error.status === 429) return later(700);
      state.textContent = error.message;
      state.className = "wb-state bad";
      if (error.status === 0) later(3000);
    }
  }

  function show(answer, texts, words) {
    const count = answer.findings.length;
    const problems = answer.results.filter((each) => each.lines.some((line) => line.is_problem)).length;
    state.className = `wb-state ${count ? "bad" : problems ? "warn" : "good"}`;
    if (count) state.textContent = `✕ ${count === 1 ? "One thing is" : `${count} things are`} wrong in what you have typed.`;
    else if (problems) state.textContent = `▲ The rules are valid. ${problems} of ${answer.results.length} ${problems === 1 ? "is" : "are"} not taken, or not sent.`;
    else if (answer.results.length) state.textContent = "● The rules are valid, and take all of it.";
    else state.textContent = draft?.isEditable ? "● What stands there is valid. Paste or catch a frame to see what comes of it." : "";
    findings.replaceChildren(...answer.findings.map(finding));
    findings.hidden = !count;
    const inputs = [...texts.map((text) => ["Frame", text]), ...words.map((text) => ["Command", text])];
    results.replaceChildren(...answer.results.map((each, index) => result(each, ...(inputs[index] ?? ["Input", ""]))));
  }

  function finding(each) {
    const place = each.file ? `${each.file}, line ${each.line}` : `Line ${each.line}`;
    const head = each.line && !each.file
      ? h("button", { type: "button", class: "wb-place", onclick: () => selectLine(each.line) }, place)
      : h("span", { class: "soft" }, each.line ? place : each.file);
    return h("li", { class: "down" }, head, each.where ? h("code", {}, ` ${each.where}`) : "", h("div", {}, each.what), each.remedy ? h("p", { class: "remedy" }, each.remedy) : "");
  }

  function result(each, kind, text) {
    const messages = each.lines.filter((line) => line.topic !== undefined);
    const isBad = each.lines.some((line) => line.is_problem);
    const lines = each.lines.map((line) => h("div", { class: line.is_problem ? "mono bad" : "mono" }, line.is_problem ? `✕ ${(line.problem || line.text).trim()}` : line.text));
    return h("li", { class: isBad ? "wb-result bad-edge" : "wb-result" },
      h("div", { class: "wb-input" }, h("span", { class: "soft" }, `${kind} `), h("code", {}, text)),
      messages.map(message),
      messages.length ? h("details", {}, h("summary", {}, "How it was read"), lines) : lines);
  }

  function message(line) {
    const readings = line.readings.length
      ? h("table", {}, h("thead", {}, h("tr", {}, ["Point", "Value", "Quality"].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, line.readings.map((each) => h("tr", {},
            h("td", {}, `${each.device}.${each.point}`),
            h("td", {}, each.value === "" && each.quality !== "good" ? "–" : `${each.value}${each.unit ? ` ${each.unit}` : ""}`),
            h("td", { class: each.quality === "good" ? "good" : "bad" }, each.quality === "good" ? "● good" : `✕ ${each.quality}`, each.reason ? `: ${each.reason}` : "")))))
      : "";
    return h("div", { class: "wb-message" },
      h("div", { class: "mono" }, line.text),
      line.topic ? h("dl", {}, h("dt", {}, "topic"), h("dd", { class: "mono" }, line.topic), h("dt", {}, "payload"), h("dd", { class: "mono" }, line.payload))
        : h("div", { class: "bad" }, `✕ not sent: ${line.problem}`),
      readings);
  }

  function selectLine(line) {
    const lines = editor.value.split("\n");
    const begin = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    editor.focus();
    editor.setSelectionRange(begin, begin + (lines[line - 1]?.length ?? 0));
    const height = editor.scrollHeight / Math.max(1, lines.length);
    editor.scrollTop = Math.max(0, (line - 5) * height);
  }

  // --- typing

  let mayLeave = false;
  editor.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      mayLeave = true;
      return;
    }
    if (event.key === "Tab" && !mayLeave && !event.shiftKey && !event.ctrlKey && !event.altKey && !editor.readOnly) {
      event.preventDefault();
      const column = editor.selectionStart - (editor.value.lastIndexOf("\n", editor.selectionStart - 1) + 1);
      const spaces = column % 2 ? " " : "  ";
      // The only way to insert a text so that "undo" of the browser takes it back, too.
      if (!document.execCommand("insertText", false, spaces)) editor.setRangeText(spaces, editor.selectionStart, editor.selectionEnd, "end");
      typed();
    }
    if (event.key !== "Shift") mayLeave = false;
  });
  editor.addEventListener("scroll", () => { numbers.scrollTop = editor.scrollTop; });
  editor.addEventListener("input", typed);
  frames.addEventListener("input", () => { draft.frames = frames.value; later(); });
  commands.addEventListener("input", () => { draft.command = commands.value; later(); });
  hex.addEventListener("change", () => { draft.hex = hex.checked; later(0); });

  function typed() {
    draft.text = editor.value;
    say("");
    update();
    later();
  }

  // --- frames from the device

  function toggleCatching() {
    if (stopCatching) return stopCatch();
    let after = -1;
    let count = 0;
    const abort = new AbortController();
    catching.textContent = "Stop catching";
    catching.setAttribute("aria-pressed", "true");
    caught.textContent = "Waiting for frames of the device…";
    const stop = repeat(50, async () => {
      const answer = await get("live", { device: chosen, after, wait: after < 0 ? 0 : 15 }, abort.signal);
      after = answer.next;
      for (const each of answer.notes) {
        const stage = each.stages.find((one) => one.stage === "frame");
        if (!stage || each.interface !== chosen || stage.text.endsWith("...")) continue;
        const text = draft.hex ? stage.hex : stage.text;
        const lines = draft.frames.split("\n").filter(Boolean);
        if (!lines.includes(text)) {
          draft.frames = [...lines, text].slice(-MOST_FRAMES).join("\n");
          frames.value = draft.frames;
          later();
        }
        caught.textContent = `${++count} caught; each is shown once.`;
      }
    });
    stopCatching = () => {
      abort.abort();
      stop();
    };
  }

  function stopCatch() {
    stopCatching?.();
    stopCatching = null;
    catching.textContent = "Catch frames";
    catching.setAttribute("aria-pressed", "false");
    caught.textContent = "";
  }

  // --- the way out

  function downloadText() {
    const around = draft.place.map((step, index) => `${"  ".repeat(index)}${/^[\w-]*[A-Za-z_][\w-]*$/.test(step) ? step : JSON.stringify(step)}:\n`).join("");
    const lines = draft.text.split("\n").map((line) => (line ? "  ".repeat(draft.place.length) + line : "")).join("\n");
    const link = h("a", { href: URL.createObjectURL(new Blob([around + lines], { type: "text/yaml" })), download: `${chosen}.rules.yaml` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function hasToken() {
    if (token()) return true;
    say("Saving needs the token of the page. What you have typed stays here.", "warn");
    document.getElementById("token").click();
    return false;
  }

  async function saveText() {
    if (!hasToken()) return;
    say("Saving…");
    try {
      const answer = await post("workbench/save", { interface: chosen, text: draft.text, edition: draft.edition });
      if (!answer.is_saved) {
        show({ findings: answer.findings, results: [] }, [], []);
        say("This was not saved: see what is wrong with it.", "bad");
        return;
      }
      await after(`Saved, and in use: ${answer.changes}.`);
    } catch (error) {
      say(error.message, "bad");
    }
  }

  async function change(what, word) {
    if (!hasToken()) return;
    if (draft.text !== draft.saved && !confirm("This forgets what you have typed and not saved. Go on?")) return;
    say("One moment…");
    try {
      const answer = await post(`workbench/${what}`, { interface: chosen, edition: draft.edition });
      await after(`${word}: ${answer.changes}.`);
    } catch (error) {
      say(error.message, "bad");
    }
  }

  function discardAll() {
    if (confirm(`This removes all that the page has changed of ${chosen}: what ${draft.configuration} has is used again. Go on?`)) change("discard", "Discarded");
  }

  async function after(text) {
    await load(chosen, true);
    say(text, "good");
  }

  function revertText() {
    if (confirm("This forgets what you have typed. Go on?")) {
      say("");
      load(chosen, true);
    }
  }

  load(parameters.get("interface") ?? chosen);
  return {
    stop() {
      ended = true;
      clearTimeout(timer);
      stopCatch();
    },
  };
}
