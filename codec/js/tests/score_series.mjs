// Scores series: `node score_series.mjs DIST JOBS.json`. A line of JSON for each job: {model, rows, names, beside}.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [dist, jobs] = process.argv.slice(2);
const { Detector } = await import(pathToFileURL(dist).href);
const plain = (value) => (Number.isNaN(value) ? null : value);
for (const { model, rows, names, beside } of JSON.parse(readFileSync(jobs, "utf8"))) {
  let out;
  try {
    const detector = new Detector(readFileSync(model));
    const start = performance.now();
    const named = (row) => new Map(row.map((reading, at) => [names[at], reading]));
    const found = rows.map((row, at) => detector.push(names ? named(row) : row, at, beside?.[at] ?? {}));
    const seconds = (performance.now() - start) / 1000;
    const updates = [...found.flatMap(({ updates }) => updates), ...detector.finish()];
    out = {
      channels: detector.channels,
      score: found.map(({ score }) => plain(score)),
      channelScore: found.map(({ channelScore }) => [...channelScore].map(plain)),
      reconstruction: found.map(({ reconstruction }) => [...reconstruction].map(plain)),
      updates,
      seconds,
    };
  } catch (error) {
    out = { error: error.name, code: error.code, says: error.message };
  }
  console.log(JSON.stringify(out));
}
