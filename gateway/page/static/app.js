// The frame around the views: which one is shown, the token, and whether the gateway answers.

import { get, setToken, token, Refused } from "./api.js";
import { h } from "./dom.js";

const VIEWS = ["overview", "device", "live", "unknown", "workbench"];
const main = document.getElementById("main");
const trouble = document.getElementById("trouble");

export const session = { may_read: false, may_write: false };

let current = { stop() {} };
let visit = 0;

// Tell that something does not work, or with "" that it works again.
export function tell(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

// Tell beside the link how many groups of frames and words could not be used.
export function countUnknown(count) {
  document.getElementById("unknown-count").textContent = count ? ` (${count.toLocaleString("en")})` : "";
}

// Ask again and again, with a pause (ms), while the page can be seen, until the view is left; tell if that fails.
export function repeat(pause, work) {
  let timer = null;
  let ended = false;
  let hasFailed = false;
  async function step() {
    if (!document.hidden) {
      try {
        await work();
        if (hasFailed) tell("");
        hasFailed = false;
      } catch (error) {
        if (ended || error.name === "AbortError") return;
        hasFailed = true;
        tell(error.message);
        if (error instanceof Refused && error.status === 401) await begin();
      }
    }
    if (!ended) timer = setTimeout(step, hasFailed ? Math.max(pause, 2000) : pause);
  }
  step();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

async function begin() {
  const answer = await get("session").catch(async (error) => {
    if (error.status === 401) {
      setToken("");
      return get("session");
    }
    throw error;
  });
  Object.assign(session, { name: "mqttgateway" }, answer);
  const note = document.getElementById("note");
  note.textContent = answer.note;
  note.hidden = !answer.note;
  document.getElementById("name").textContent = session.name;
  document.title = session.name;
  const button = document.getElementById("token");
  button.hidden = !answer.has_token;
  button.textContent = token() ? "Forget token" : "Enter token";
  return answer;
}

async function route() {
  const number = ++visit;
  current.stop();
  current = { stop() {} };
  tell("");
  const [name, query] = location.hash.slice(1).split("?");
  const view = VIEWS.includes(name) ? name : "overview";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!session.may_read) {
    main.replaceChildren(h("p", {}, "This page needs its token: ", h("button", { type: "button", onclick: openDialog }, "Enter token")));
    return;
  }
  const module = await import(`./${view}.js`);
  if (number !== visit) return;
  main.replaceChildren();
  current = module.open(main, new URLSearchParams(query)) ?? current;
}

const dialog = document.getElementById("token-dialog");

function openDialog() {
  document.getElementById("token-input").value = "";
  document.getElementById("token-error").hidden = true;
  dialog.returnValue = "";
  dialog.showModal();
}

// No button of the form, or the Enter key would press it as the first one.
document.getElementById("token-cancel").addEventListener("click", () => dialog.close());

dialog.addEventListener("close", async () => {
  const value = document.getElementById("token-input").value.trim();
  document.getElementById("token-input").value = "";
  if (dialog.returnValue !== "ok" || !value) return;
  setToken(value);
  try {
    const answer = await get("session");
    if (!answer.may_write) throw new Refused(401, "This is not the token of this page.");
  } catch (error) {
    setToken("");
    openDialog();
    const problem = document.getElementById("token-error");
    problem.textContent = error.message;
    problem.hidden = false;
    return;
  }
  await start();
});

document.getElementById("token").addEventListener("click", () => {
  if (!token()) return openDialog();
  setToken("");
  return start();
});

async function start() {
  try {
    await begin();
  } catch (error) {
    tell(error.message);
    setTimeout(start, 3000);
    return;
  }
  await route();
}

addEventListener("hashchange", () => route().then(() => main.focus({ preventScroll: true })));
start();
