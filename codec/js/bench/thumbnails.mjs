// A page of 50 thumbnails: its longest task on the main thread, and its memory: `node bench/thumbnails.mjs FOLDER`.
//
// FOLDER holds thumbnail.aez (256 pixels) and model.aezm, the half that decodes it. The longest task is that of each
// run: how long it took, and the largest processor time of one, which other programs do not lengthen. Memory (Linux) is how much more the page's process has than before the pictures came, with them
// and ten seconds after they have left: `own` is what is its alone and what it shares with the browser's other processes,
// `resident` has the pages of the browser's program, too, that it has touched.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "./chromium.mjs";

const RUNS = 5;
const COUNT = 50;
const AFTER = 10000;
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2];
const SHOW = `(async () => {
  const { models } = await import("/dist/element.js");
  models("/model.aezm");
  const start = performance.now();
  const done = Array.from({ length: ${COUNT} }, (_, number) => {
    const image = document.createElement("aez-img");
    image.src = "/thumbnail.aez?" + number;
    document.body.append(image);
    return new Promise((resolve, reject) => {
      image.addEventListener("load", resolve);
      image.addEventListener("error", ({ error }) => reject(error));
    });
  });
  await Promise.all(done);
  return performance.now() - start;
})()`;
const LEAVE = "document.body.replaceChildren()";

const server = createServer(async ({ url }, response) => {
  const path = url.replace(/\?.*/, "");
  const script = path.startsWith("/dist/");
  const picture = path === "/thumbnail.aez" || path === "/model.aezm";
  response.setHeader("Content-Type", script ? "text/javascript" : picture ? "application/octet-stream" : "text/html");
  const file = script ? join(home, path) : picture ? join(folder, path) : null;
  response.end(file ? await readFile(file) : "<!doctype html><title>thumbnails</title><link rel=icon href=data:,>");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${server.address().port}/`;

async function run() {
  const { evaluate, inPage, renderer, traced, end } = await open(address, "thumbnails");
  const memory = async () => {
    await inPage("HeapProfiler.collectGarbage");
    const status = await readFile(`/proc/${(await renderer()).id}/status`, "utf8");
    const of = (...names) =>
      names.reduce((sum, name) => sum + Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024, 0);
    return { own: of("RssAnon", "RssShmem", "VmSwap"), resident: of("VmRSS") };
  };
  const before = await memory();
  let seconds = 0;
  const tasks = await traced(async () => {
    seconds = (await evaluate(SHOW)) / 1000;
  });
  const longest = (of) => Math.round(10 * Math.max(...tasks.map((task) => task[of]))) / 10;
  const shown = await memory();
  await evaluate(LEAVE);
  await new Promise((resolve) => setTimeout(resolve, AFTER));
  const after = await memory();
  await end();
  const more = (kind) => ({ shown: shown[kind] - before[kind], after: after[kind] - before[kind] });
  return {
    seconds,
    took: longest("took"),
    processor: longest("processor"),
    own: more("own"),
    resident: more("resident"),
  };
}

const found = [];
for (let i = 0; i < RUNS; i++) found.push(await run());
server.close();
const median = (of) => Math.round(10 * found.map(of).sort((a, b) => a - b)[RUNS >> 1]) / 10;
const memory = (kind) => ({ shown: median((one) => one[kind].shown), after: median((one) => one[kind].after) });
console.log(
  JSON.stringify({
    seconds: median((one) => one.seconds),
    longest: { took: found.map((one) => one.took), processor: found.map((one) => one.processor) },
    megabytes: { own: memory("own"), resident: memory("resident") },
  }),
);
