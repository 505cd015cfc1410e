// Pictures a second of the latent explorer while a slider and a pointer move: `node bench/explorer.mjs FOLDER`.
//
// FOLDER holds bundles NAME.aezm of autoencoders. Only pictures that differ from the one before are counted, on a page of
// 1280x900 in headless Chromium, which shows 60 a second at most.
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "./chromium.mjs";

const SECONDS = 4;
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2];
const TYPES = { js: "text/javascript", html: "text/html", css: "text/css", aezm: "application/octet-stream" };
/** Counts pictures from now on. */
const COUNT = `
  globalThis.count = { from: performance.now(), pictures: 0, last: "", late: 0, before: performance.now() };
  globalThis.look ??= (now) => {
    const picture = document.getElementById("picture");
    const { data } = picture.getContext("2d").getImageData(0, 0, picture.width, picture.height);
    const seen = data.join();
    if (seen !== count.last) {
      count.late = Math.max(count.late, now - count.before);
      count.before = now;
      count.pictures++;
      count.last = seen;
    }
    requestAnimationFrame(look);
  };
  globalThis.looking ??= requestAnimationFrame(look);
`;
const FOUND = `({
  rate: count.pictures / ((performance.now() - count.from) / 1000),
  longest: Math.round(count.late),
  decoding: document.getElementById("time").textContent,
})`;
const SLIDE = `new Promise((resolve) => {
  const slider = document.querySelector("#sliders input");
  const [low, high] = [Number(slider.min), Number(slider.max)];
  const start = performance.now();
  const timer = setInterval(() => {
    const passed = (performance.now() - start) / 1000;
    if (passed > ${SECONDS}) {
      clearInterval(timer);
      resolve();
    }
    slider.value = low + (high - low) * (0.5 + 0.5 * Math.sin(3 * passed));
    slider.dispatchEvent(new Event("input"));
  }, 4);
})`;

const server = createServer(async ({ url }, response) => {
  const { pathname } = new URL(url, "http://localhost");
  const file = pathname.endsWith(".aezm") ? join(folder, pathname) : join(home, pathname);
  response.setHeader("Content-Type", TYPES[pathname.split(".").at(-1)] ?? "text/plain");
  const bytes = await readFile(file).catch(() => null);
  if (!bytes) response.statusCode = 404;
  response.end(bytes);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${server.address().port}/pages/latent/index.html`;

async function measured(name) {
  const { evaluate, inPage, end } = await open(`${address}?model=/${name}`, "aez: a look into a latent");
  await inPage("Emulation.setDeviceMetricsOverride", { width: 1280, height: 900, deviceScaleFactor: 1, mobile: false });
  while (!(await evaluate("document.getElementById('time').textContent")));
  await evaluate(COUNT);
  await evaluate(SLIDE);
  const slider = await evaluate(FOUND);
  const box = await evaluate("document.getElementById('map').getBoundingClientRect().toJSON()");
  const at = (passed) => ({
    x: box.x + box.width * (0.5 + 0.35 * Math.cos(3 * passed)),
    y: box.y + box.height * (0.5 + 0.35 * Math.sin(5 * passed)),
    button: "left",
    buttons: 1,
  });
  await inPage("Input.dispatchMouseEvent", { type: "mousePressed", clickCount: 1, ...at(0) });
  await evaluate(COUNT);
  const start = performance.now();
  for (let passed = 0; passed < SECONDS; passed = (performance.now() - start) / 1000) {
    await inPage("Input.dispatchMouseEvent", { type: "mouseMoved", ...at(passed) });
  }
  const pointer = await evaluate(FOUND);
  await inPage("Input.dispatchMouseEvent", { type: "mouseReleased", clickCount: 1, ...at(SECONDS) });
  await end();
  return { slider, pointer };
}

for (const name of (await readdir(folder)).filter((name) => name.endsWith(".aezm")).sort()) {
  console.log(JSON.stringify({ name, ...(await measured(name)) }));
}
server.close();
