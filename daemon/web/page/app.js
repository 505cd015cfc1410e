// The live page: what is chosen stands behind the address's #, news come by one connection.

import { get } from "./api.js";
import { Attention } from "./attention.js";
import { Charts } from "./charts.js";
import { byId, el, setText } from "./dom.js";
import { Events } from "./events.js";
import { clockMs, span } from "./format.js";
import { Live } from "./live.js";
import { Shadows } from "./shadows.js";
import { PAGE, Streams } from "./streams.js";

const RATE_MS = 5_000;
const charts = new Charts();
const attention = new Attention();
const events = new Events((some) => charts.shade(some));
const streams = new Streams(follow);
const counted = []; // [ms, rows in all], for the rate
let chosen = null;
let lost = null;

const live = new Live(
  {
    summary: showSummary,
    streams(news) {
      streams.take(news);
      const { counts } = news;
      if (!streams.wanted.search) attention.streams(counts);
      if (!streams.wanted.search) setText(byId("tile-streams"), (counts.event + counts.silent + counts.normal).toLocaleString());
      if (chosen === null && news.names.length) choose(news.names[0]);
    },
    chosen: (entry) => charts.entry(entry),
    history: (data) => charts.history(data),
    rows: (more) => charts.rows(more),
    events: (news) => events.take(news.events),
    missed: () => events.load(),
  },
  (state) => {
    byId("link").className = `link ${state}`;
    setText(byId("link"), { live: "live", connecting: "connecting…", lost: "connection lost" }[state]);
    if (state === "lost") lost ??= Date.now();
    else {
      if (lost !== null || state === "live") events.load(); // what happened meanwhile, also before it was told
      lost = null;
    }
    byId("lost").hidden = lost === null;
    if (lost !== null) setText(byId("lost"), `No connection since ${clockMs(lost)}. What you see is from then; trying again…`);
  },
);

function follow() {
  live.follow({ ...streams.wanted, limit: PAGE, stream: chosen });
}

function choose(name) {
  chosen = name;
  streams.choose(name);
  charts.choose(name);
  events.choose(name);
  document.title = name === null ? "aez monitor" : `${name} · aez monitor`;
  follow();
}

function showSummary(summary) {
  const now = performance.now();
  if (counted.length && summary.rows < counted.at(-1)[1]) counted.length = 0; // it was started anew
  counted.push([now, summary.rows]);
  showRate();
  setText(byId("tile-events"), summary.open_events.toLocaleString());
  byId("tile-events-box").classList.toggle("bad", summary.open_events > 0);
  setText(byId("tile-lag"), summary.lag < 10 ? `${summary.lag.toFixed(1)} s` : span(1e9 * summary.lag));
  showUp("sources", summary.sources);
  showUp("sinks", summary.sinks);
  const other = summary.problems.filter((text) => !text.startsWith("source ")); // sources stand below, with what to do
  byId("problems").hidden = !other.length;
  byId("problems").replaceChildren(...other.map((text) => el("li", {}, text)));
  attention.summary(summary);
  streams.sources = summary.sources;
  streams.empty();
}

function showUp(name, all) {
  const up = all.filter((one) => !one.trouble).length;
  setText(byId(`tile-${name}`), all.length ? `${up} of ${all.length}` : "none");
  byId(`tile-${name}-box`).classList.toggle("bad", up < all.length);
}

function showRate() {
  const now = performance.now();
  while (counted.length > 1 && now - counted[1][0] > RATE_MS) counted.shift();
  if (!counted.length) return;
  const [since, before] = counted[0];
  const rate = now - since < 500 ? null : (1e3 * (counted.at(-1)[1] - before)) / (now - since);
  if (rate === null) return;
  setText(byId("tile-rate"), rate < 10 ? String(Number(rate.toFixed(1))) : Math.round(rate).toLocaleString());
}

function fromAddress() {
  const match = /^#stream=(.*)$/s.exec(location.hash);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

/** A link to one event, as sinks send it. */
async function eventFromAddress() {
  const match = /^#event=([0-9a-f]{1,64})$/.exec(location.hash);
  if (!match) return;
  try {
    const event = await get(`/api/events/${match[1]}`);
    if (event.kind !== "incident") choose(event.stream);
    await events.load();
    events.reveal(event);
  } catch (error) {
    events.error(`The event cannot be shown: ${error.message}.`);
  }
}

setInterval(showRate, 1000);
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#event=")) return eventFromAddress();
  choose(fromAddress());
  if (matchMedia("(max-width: 900px)").matches) document.querySelector(".stream").scrollIntoView();
});
choose(fromAddress());
eventFromAddress();
new Shadows();
