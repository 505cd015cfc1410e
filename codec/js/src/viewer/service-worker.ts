// Keeps the page where there is no network. `aez view` does without it: its port is another one each time.

declare const VERSION: string;
declare const FILES: readonly string[];

interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Event {
  request: Request;
  respondWith(response: Promise<Response>): void;
}
const scope = globalThis as unknown as {
  addEventListener(type: "install" | "activate", listener: (event: Extendable) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
  skipWaiting(): Promise<void>;
};
const NAME = `aez-viewer-${VERSION}`;
/** Models are told by their id, so that one that was kept is never old. */
const MODELS = "aez-models";

scope.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll([...FILES])));
});

scope.addEventListener("activate", (event) => {
  const old = (name: string) => name.startsWith("aez-viewer-") && name !== NAME;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (/\/models\/[0-9a-f]{16}(\.encoder)?\.aezm$/.test(pathname)) event.respondWith(model(request));
  else if (pathname.endsWith("/models/encoders.json")) event.respondWith(list(request));
  else event.respondWith(caches.match(request, { ignoreSearch: true }).then((kept) => kept ?? fetch(request)));
});

async function model(request: Request): Promise<Response> {
  const cache = await caches.open(MODELS);
  const kept = await cache.match(request);
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return response;
}

/** The models there are now; those that there were, where there is no network. */
async function list(request: Request): Promise<Response> {
  const cache = await caches.open(MODELS);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}
