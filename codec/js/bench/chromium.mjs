// Headless Chromium for benches, by calls of its protocol.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Renderers of the browser's own (pages below its address bar, one to spare), which are no part of what is measured. */
const FOREIGN = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,SpareRendererForSitePerProcess";
const OPTIONS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-proxy-server",
  `--disable-features=${FOREIGN}`,
];

/** A browser of its own, in which nothing is warm, on a page with this title: calls by name, scripts run in the page, and traces. */
export async function open(address, title) {
  const profile = await mkdtemp(join(tmpdir(), "aez-bench-"));
  const browser = spawn("chromium", [...OPTIONS, `--user-data-dir=${profile}`, "--remote-debugging-port=0", address]);
  const endpoint = await new Promise((resolve) => {
    let said = "";
    browser.stderr.on("data", (data) => {
      said += data;
      const found = /listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
  });
  const socket = new WebSocket(endpoint);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const waiting = new Map();
  const hearing = new Map();
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error, method, params } = JSON.parse(data);
    if (method) hearing.get(method)?.(params);
    else waiting.get(id)?.(result ?? { error });
  });
  let calls = 0;
  const call = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve) => {
      waiting.set(calls, resolve);
      socket.send(JSON.stringify({ id: calls++, method, params, sessionId }));
    });
  const { targetId } = await pageOf(call);
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const inPage = (method, params = {}) => call(method, params, sessionId);
  const evaluate = async (expression) => {
    const found = await inPage("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (found.exceptionDetails) {
      throw new Error(found.exceptionDetails.exception?.description ?? found.exceptionDetails.text);
    }
    return found.result?.value;
  };
  while ((await evaluate("document.readyState + document.title")) !== `complete${title}`);
  const renderer = async () => {
    const { processInfo } = await call("SystemInfo.getProcessInfo");
    const found = processInfo.filter(({ type }) => type === "renderer");
    if (found.length !== 1) throw new Error(`the browser has ${found.length} renderers, of which one is the page's`);
    return found[0];
  };
  const traced = async (work) => {
    const events = [];
    hearing.set("Tracing.dataCollected", ({ value }) => events.push(...value));
    const complete = new Promise((resolve) => hearing.set("Tracing.tracingComplete", resolve));
    await call("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel"] } });
    await work();
    await call("Tracing.end");
    await complete;
    return mainTasks(events);
  };
  const end = async () => {
    await call("Browser.close");
    await new Promise((resolve) => browser.once("exit", resolve));
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { inPage, evaluate, renderer, traced, end };
}

/** The tasks of the renderer's main thread: how long each took, and of that the processor time, in milliseconds. */
function mainTasks(events) {
  const of = ({ pid, tid }) => `${pid} ${tid}`;
  const named = events.filter(({ name }) => name === "thread_name");
  const main = new Set(named.filter(({ args }) => args.name === "CrRendererMain").map(of));
  const tasks = events.filter((event) => event.ph === "X" && /RunTask$/.test(event.name) && main.has(of(event)));
  return tasks.map(({ dur, tdur = 0 }) => ({ took: dur / 1000, processor: tdur / 1000 }));
}

/** The target of the page that the browser was begun with. */
async function pageOf(call) {
  for (;;) {
    const { targetInfos } = await call("Target.getTargets");
    const found = targetInfos.find(({ type }) => type === "page");
    if (found) return found;
  }
}
