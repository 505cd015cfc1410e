// A page of 50 thumbnails: its longest task on the main thread, and its memory: `node bench/thumbnails.mjs FOLDER`.
//
// FOLDER holds thumbnail.aez (256 pixels) and model.aezm, the half that decodes it. Memory is that of the renderer with all
// of its threads, resident (Linux), before the pictures come, with them, and ten seconds after they have left the page.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "./chromium.mjs";

const COUNT = 50;
const AFTER = 10000;
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2];
const SHOW = `(async () => {
  globalThis.tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
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
const LONGEST = "new Promise((resolve) => setTimeout(() => resolve(Math.max(0, ...tasks)), 500))";
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
const { evaluate, inPage, renderers, end } = await open(address, "thumbnails");
const megabytes = async () => {
  await inPage("HeapProfiler.collectGarbage");
  const sizes = (await renderers()).map(
    async ({ id }) => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${id}/status`, "utf8"))[1]) / 1024,
  );
  return Math.round((await Promise.all(sizes)).reduce((sum, size) => sum + size, 0));
};
const before = await megabytes();
const seconds = (await evaluate(SHOW)) / 1000;
const longest = await evaluate(LONGEST);
const shown = await megabytes();
await evaluate(LEAVE);
await new Promise((resolve) => setTimeout(resolve, AFTER));
const after = await megabytes();
console.log(JSON.stringify({ seconds, longest, megabytes: { before, shown, after } }));
await end();
server.close();
