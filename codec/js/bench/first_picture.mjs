// Processor time until a first picture is drawn, cold, in headless Chromium: `node bench/first_picture.mjs FOLDER`.
//
// FOLDER holds picture.aez and model.js (made by scripts/model.mjs). Times are those of the renderer process with all of
// its threads, from before the script is fetched until the canvas is drawn; then of a second, warm decode.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "./chromium.mjs";

const RUNS = 5;
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2];
const files = {
  "/aez.js": join(home, "dist", "aez.js"),
  "/rest.js": join(home, "dist", "rest.js"),
  "/model.js": join(folder, "model.js"),
  "/picture.aez": join(folder, "picture.aez"),
};
const DRAW = `(async () => {
  const { decode, toBitmap } = await import("/aez.js");
  const model = async () => (await import("/model.js")).default;
  const draw = async () => {
    const picture = await decode(await fetch("/picture.aez"), { model });
    const canvas = Object.assign(document.createElement("canvas"), { width: picture.width, height: picture.height });
    document.body.append(canvas);
    const context = canvas.getContext("2d");
    context.drawImage(await toBitmap(picture), 0, 0);
    return context.getImageData(0, 0, 1, 1).data.join();
  };
  globalThis.draw = draw;
  return await draw();
})()`;

const server = createServer(async (request, response) => {
  const file = files[request.url];
  const type = request.url.endsWith(".js") ? "text/javascript" : file ? "application/octet-stream" : "text/html";
  response.setHeader("Content-Type", type);
  response.end(file ? await readFile(file) : "<!doctype html><title>a picture</title>");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${server.address().port}/`;

async function run() {
  const { evaluate, renderer, end } = await open(address, "a picture");
  const spent = async () => (await renderer()).cpuTime;
  const start = await spent();
  await evaluate(DRAW);
  const cold = await spent();
  await evaluate("draw()");
  const warm = await spent();
  await end();
  return [cold - start, warm - cold];
}

const found = [];
for (let i = 0; i < RUNS; i++) found.push(await run());
server.close();
const median = (number) => found.map((times) => times[number]).sort((a, b) => a - b)[RUNS >> 1];
console.log(JSON.stringify({ cold: median(0), warm: median(1), runs: found }));
