// Headless Chromium for benches, by calls of its protocol.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"];

/** A browser of its own, in which nothing is warm, on a page with this title: calls by name, and scripts run in the page. */
export async function open(address, title) {
  const profile = await mkdtemp(join(tmpdir(), "aez-bench-"));
  const browser = spawn("chromium", [
    ...OPTIONS,
    `--user-data-dir=${profile}`,
    "--remote-debugging-port=0",
    "about:blank",
  ]);
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
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    waiting.get(id)?.(result ?? { error });
  });
  let calls = 0;
  const call = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve) => {
      waiting.set(calls, resolve);
      socket.send(JSON.stringify({ id: calls++, method, params, sessionId }));
    });
  const { targetId } = await call("Target.createTarget", { url: address });
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
  const renderers = async () => {
    const { processInfo } = await call("SystemInfo.getProcessInfo");
    return processInfo.filter(({ type }) => type === "renderer");
  };
  const end = async () => {
    await call("Browser.close");
    await new Promise((resolve) => browser.once("exit", resolve));
    await rm(profile, { recursive: true, force: true });
  };
  return { inPage, evaluate, renderers, end };
}
