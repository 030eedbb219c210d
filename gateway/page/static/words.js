// Numbers, times and bytes in words, the same in all views.

// How long, such as 3 min.
export function duration(seconds) {
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return seconds < 10 && seconds % 1 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds)} s`;
}

// How long ago.
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  return seconds < 1.5 ? "now" : `${duration(Math.floor(seconds))} ago`;
}

// The time of day of a time in seconds (Unix time), or of a text such as 2026-11-29T21:30:05.120Z; with the day, if it
// is another one than today.
export function clock(time) {
  const date = typeof time === "number" ? new Date(time * 1000) : new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const day = date.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return date.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

// The time of day with milliseconds.
export function moment(time) {
  return `${clock(time)}.${String(new Date(time).getMilliseconds()).padStart(3, "0")}`;
}

// A number: grouped, and with no more digits than it needs.
export function number(value, digits = 6) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  return value.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(value) ? 21 : digits });
}

export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// Bytes in hexadecimal, byte by byte.
export function spaced(hex) {
  return hex.replace(/([0-9a-f]{2})(?=[0-9a-f])/g, "$1 ");
}

// Bytes as a text, or in hexadecimal if most of them are none.
export function bytesText({ text, hex }) {
  return (text.split("\\x").length - 1) * 8 > text.length ? spaced(hex) : text;
}
