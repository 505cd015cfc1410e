// Candidates beside their models: how both did on the same rows.

import { get, post } from "./api.js";
import { byId, el } from "./dom.js";
import { clock, number, percent } from "./format.js";

const EVERY_MS = 10_000;
const LINES = [
  ["events", (side) => side.events.toLocaleString()],
  ["of these over", (side) => side.ended.toLocaleString()],
  ["of these also found by the other", (side) => side.overlap.toLocaleString()],
  ["rows above the limit", (side) => side.above.toLocaleString()],
];

export class Shadows {
  constructor() {
    this.told = "";
    this.load();
    setInterval(() => document.hidden || this.load(), EVERY_MS);
  }

  async load() {
    try {
      this.show((await get("/api/shadows")).shadows);
    } catch {
      // The page says by itself that there is no connection.
    }
  }

  show(all) {
    const told = JSON.stringify(all);
    if (told === this.told) return;
    this.told = told;
    byId("models").hidden = !all.length;
    byId("shadows").replaceChildren(...all.map((one) => this.compared(one)));
  }

  compared({ model, figures }) {
    const line = (title, of) =>
      el("tr", {}, el("th", { scope: "row" }, title), ...["model", "candidate"].map((side) => el("td", {}, of(figures[side]))));
    const quantiles = Object.keys(figures.model.quantiles).map((share) =>
      line(`${(100 * share).toLocaleString()} % of scores below`, (side) => `${number(side.quantiles[share])} × limit`),
    );
    const since = figures.first_time === null ? "no rows yet" : `${figures.rows.toLocaleString()} rows since ${clock(figures.first_time)}`;
    const skipped = figures.skipped ? `, ${percent(figures.skipped / (figures.rows + figures.skipped))} left out` : "";
    return el(
      "article",
      { className: "shadow" },
      el("h3", {}, model, el("span", { className: "muted" }, ` ${since}${skipped}`)),
      !figures.rows ? el("p", { className: "muted" }, "It is compared as soon as rows come that both have scored.") : el(
        "table",
        {},
        el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "model"), el("th", { scope: "col" }, "candidate"))),
        el("tbody", {}, ...LINES.map(([title, of]) => line(title, of)), ...quantiles),
      ),
      el("div", { className: "act" }, this.button(model, "promote", "Promote", "take the place of the model"), this.button(model, "drop", "Drop", "be dropped")),
      el("p", { className: "error", role: "alert" }),
    );
  }

  button(model, action, title, does) {
    const made = el("button", { type: "button", className: action === "drop" ? "quiet" : "" }, title);
    made.addEventListener("click", async () => {
      if (!confirm(`Shall the candidate of ${model} ${does}?`)) return;
      made.disabled = true;
      try {
        await post(`/api/shadows/${encodeURIComponent(model)}/${action}`, {});
        await this.load();
      } catch (error) {
        made.closest("article").querySelector(".error").textContent = `That was not done: ${error.message}.`;
      }
      made.disabled = false;
    });
    return made;
  }
}
