// Numbers, times and lengths of time for people. Times are ns since 1970 UTC, unless they are called ms.

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit" });

export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(Math.max(digits, size >= 1 ? Math.ceil(Math.log10(size + 1)) : digits))));
}

export const percent = (share) => (share === null ? "" : `${Math.round(100 * share)} %`);

/** The clock, with the date where it is another day. */
export function clock(ns) {
  if (ns === null || ns === undefined) return "–";
  const then = new Date(ns / 1e6);
  const day = then.toDateString() === new Date().toDateString() ? "" : `${DATE.format(then)} `;
  return day + TIME.format(then);
}

/** Day and clock of seconds since 1970. */
export const date = (seconds) => DATE.format(new Date(1e3 * seconds));
export const time = (seconds) => TIME.format(new Date(1e3 * seconds));

export function clockMs(ms) {
  return TIME.format(new Date(ms));
}

/** As `clock`, but how long ago within the last hour. */
export function ago(ns) {
  if (ns === null || ns === undefined) return "–";
  const seconds = (Date.now() - ns / 1e6) / 1e3;
  if (seconds < -5 || seconds > 3600) return clock(ns);
  return seconds < 2 ? "now" : `${span(1e9 * seconds)} ago`;
}

/** A length of time. */
export function span(ns) {
  const seconds = Math.max(0, Math.round(ns / 1e9));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const exact = (ns) => (ns ? new Date(ns / 1e6).toISOString() : "");
