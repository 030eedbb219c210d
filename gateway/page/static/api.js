// Asks the gateway. The token is sent in a header, and kept by this tab alone: never in an address.

const KEY = "mqttgateway-token";

export class Refused extends Error {
  constructor(status, message, details = {}) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

export function token() {
  return sessionStorage.getItem(KEY);
}

export function setToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The gateway does not answer. This page tries again.");
  }
  const answer = await response.json().catch(() => ({ error: `The gateway has answered with ${response.status}.` }));
  if (!response.ok) throw new Refused(response.status, answer.error, answer);
  return answer;
}

export function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined));
  return ask(`api/${path}${query.size ? `?${query}` : ""}`, { signal });
}

export function post(path, body) {
  return ask(`api/${path}`, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}
