// The page of the viewer: what is opened, and what the buttons do.
import { AezError, type ChunkInfo, contents, info, TruncatedFile, UnsupportedInput } from "../index.js";
import { type ModelSource, models } from "../page/index.js";
import { look } from "./encoders.js";
import { heatOf } from "./heat.js";
import { BitmapLayer, FileLayer, type Layer } from "./layers.js";
import { atBytes, blobOf, checkSize, download, nameOf, wholeCanvas } from "./making.js";
import { chunkRows, fill, headerRows, number } from "./panel.js";
import { EncodePanel } from "./source.js";
import { Stage } from "./stage.js";

const HEAD_BYTES = 78;

function part<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const problem = part("problem");
const status = part("status");
const picked = part<HTMLSelectElement>("files");
const heatButton = part<HTMLButtonElement>("heat");
const against = part<HTMLSelectElement>("against");
const split = part<HTMLInputElement>("split");

const stage = new Stage(part<HTMLCanvasElement>("stage"), ({ zoom }, left) => {
  part("zoom").textContent = `${Math.round(100 * zoom)} %`;
  part("work").hidden = left === 0;
  part("work").textContent = `${number(left)} ${left === 1 ? "tile" : "tiles"} to come`;
});

/** What is shown, and all that has to end with it. */
class Opened {
  readonly ending = new AbortController();
  chunks: ChunkInfo[] = [];
  other: Layer | null = null;
  private canvas: Promise<HTMLCanvasElement> | null = null;

  constructor(readonly layer: FileLayer) {}

  whole(): Promise<HTMLCanvasElement> {
    this.canvas ??= wholeCanvas(this.layer.file, this.layer.header, given, this.ending.signal);
    this.canvas.catch(() => {
      this.canvas = null;
    });
    return this.canvas;
  }

  async close(): Promise<void> {
    this.ending.abort();
    this.layer.close();
    release(this.other);
    const canvas = await this.canvas?.catch(() => null);
    if (canvas) [canvas.width, canvas.height] = [0, 0];
  }
}

let opened: Opened | null = null;
/** The picture that is encoded, where one is. */
let original: BitmapLayer | null = null;
/** How often something was opened: of two that load at a time the last one stays. */
let turns = 0;
/** Models that were dropped onto the page, the last one first. */
const given: ModelSource[] = [];
models("../models/{id}.aezm");

const panel = new EncodePanel(
  {
    section: part("encode"),
    quality: part<HTMLInputElement>("quality"),
    chosen: part("chosen"),
    model: part<HTMLSelectElement>("model"),
    words: part("encoded"),
    progress: part<HTMLProgressElement>("encoding"),
    run: part<HTMLButtonElement>("run"),
    save: part<HTMLButtonElement>("save-aez"),
  },
  {
    encoded: showEncoded,
    save: (file, name) => {
      download(file, name);
      say(`saved ${name}, ${number(file.size)} bytes`);
    },
    begun: forgive,
    failed: complain,
  },
);

function release(layer: Layer | null): void {
  if (layer !== original) layer?.close();
}

function say(words: string): void {
  status.textContent = words;
}

function complain(error: unknown): void {
  const known = error instanceof AezError;
  const words = error instanceof Error ? error.message : String(error);
  problem.textContent = `${words.charAt(0).toUpperCase()}${words.slice(1)}${known ? ` (code ${error.code})` : ""}.`;
  problem.hidden = false;
  say("");
  stage.draw();
}

function forgive(): void {
  problem.hidden = true;
  problem.textContent = "";
}

/** Runs what a button starts; whatever goes wrong is said in one sentence. */
async function trying(work: () => Promise<void>): Promise<void> {
  forgive();
  try {
    await work();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    complain(error);
  }
}

async function layerOf(file: Blob, name: string): Promise<FileLayer> {
  const header = info(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (header.tiles > file.size) {
    const tiles = `${number(header.tiles)} tiles, which a file of ${number(file.size)} bytes cannot hold`;
    throw new TruncatedFile(`the header says ${tiles}`, "header");
  }
  return new FileLayer(name, file, header, given, () => stage.draw(), complain);
}

async function open(file: Blob, name: string): Promise<void> {
  if (/\.aezm$/i.test(name)) return await take(file, name);
  const turn = ++turns;
  void opened?.close();
  opened = null;
  stage.show(null);
  panel.close();
  original?.close();
  original = null;
  forgive();
  enable(false, false);
  say(`opening ${name}`);
  if (!(await isAez(file, name))) return await openPicture(file, name, turn);
  const layer = await layerOf(file, name);
  if (turn !== turns) return layer.close();
  const now = new Opened(layer);
  opened = now;
  stage.show(layer);
  enable(true, true);
  entitle(layer);
  await tell(now);
  if (opened === now) say(`${name} is open`);
}

/** By its name, or by its first bytes. */
async function isAez(file: Blob, name: string): Promise<boolean> {
  if (/\.aez$/i.test(name)) return true;
  const [, a, e, z] = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return String.fromCharCode(a ?? 0, e ?? 0, z ?? 0) === "AEZ";
}

/** A picture of another format, which is to be encoded. */
async function openPicture(file: Blob, name: string, turn: number): Promise<void> {
  const bitmap = await bitmapOf(file, name);
  if (turn !== turns) return bitmap.close();
  original = new BitmapLayer(name, bitmap);
  checkSize(original.size);
  stage.show(original);
  enable(true, false);
  entitle(original);
  say(`${name} is open`);
  await panel.open(name, file.size, bitmap);
}

/** The file that was made of that picture now, in the place of the former one. */
async function showEncoded(file: Blob, name: string): Promise<void> {
  const turn = turns;
  const layer = await layerOf(file, name);
  if (turn !== turns) return layer.close();
  const before = opened;
  const now = new Opened(layer);
  opened = now;
  stage.replace(layer, () => void before?.close());
  if (!before) {
    enable(true, true);
    entitle(layer);
    against.value = "original";
  }
  now.other = before?.other ?? null;
  if (before) before.other = null;
  if (against.value === "original" && original) compare(now, original, `with ${original.name}`);
  else if (against.value.startsWith("image/")) void trying(() => compareAtBytes(against.value));
  await tell(now);
}

/** Header and chunks beside the stage. */
async function tell(now: Opened): Promise<void> {
  const { file, header } = now.layer;
  const first = !part<HTMLTableElement>("chunks").rows.length;
  if (first) fill(part("header"), headerRows(header, file.size, []));
  const { chunks } = await contents(file);
  if (opened !== now) return;
  now.chunks = chunks;
  fill(part("header"), headerRows(header, file.size, chunks));
  fill(part("chunks"), chunkRows(chunks, file.size), ["Chunk", "Count", "Bytes"]);
  heatButton.disabled = false;
  if (stage.heat) warm(now);
}

function entitle({ name, size }: Layer): void {
  document.title = `${name} – aez`;
  part("stage").setAttribute("aria-label", `${name}, ${size.width} by ${size.height} pixels`);
}

/** A model that was dropped: to decode, to encode or for both. */
async function take(file: Blob, name: string): Promise<void> {
  const bytes = await file.arrayBuffer();
  const model = await look(bytes);
  if (model.decodes) given.unshift((id) => (model.id === id ? bytes : undefined));
  const uses = [model.decodes ? "decodes" : "", model.encodes ? "encodes" : ""].filter(Boolean).join(" and ");
  say(`${name} is model ${model.name} (${model.id}): it ${uses || "does nothing"} here now`);
  if (model.encodes) panel.add({ id: model.id, name: model.name, bytes: async () => bytes });
  else if (original) panel.again();
  else if (opened) await open(opened.layer.file, opened.layer.name);
}

/** What can be done with any picture, and what with an `.aez`. */
function enable(picture: boolean, file: boolean): void {
  document.body.classList.toggle("empty", !picture);
  document.body.classList.toggle("bare", !file);
  const set = (which: string, on: boolean) => {
    for (const control of document.querySelectorAll<HTMLButtonElement>(`[data-needs-${which}]`)) control.disabled = !on;
  };
  set("picture", picture);
  set("file", file);
  const option = part<HTMLOptionElement>("original");
  option.hidden = option.disabled = !original;
  if (!file) {
    fill(part("header"), []);
    fill(part("chunks"), []);
  }
  heatButton.disabled = true;
  heatButton.setAttribute("aria-pressed", "false");
  part("legend").hidden = true;
  uncompare();
}

function uncompare(): void {
  stage.compare(null);
  if (opened) {
    release(opened.other);
    opened.other = null;
  }
  against.value = "";
  part("parted").hidden = true;
  part("compared").textContent = "";
}

function toggleHeat(): void {
  if (!opened || heatButton.disabled) return;
  const on = heatButton.getAttribute("aria-pressed") !== "true";
  heatButton.setAttribute("aria-pressed", String(on));
  part("legend").hidden = !on;
  stage.heat = null;
  if (on) warm(opened);
  stage.draw();
}

function warm({ layer, chunks }: Opened): void {
  const found = heatOf(layer.header, chunks);
  stage.heat = found;
  part("least").textContent = `${(8 * found.least).toFixed(2)}`;
  part("most").textContent = `${(8 * found.most).toFixed(2)} bits a pixel`;
}

/** Lays something beside the picture. */
function compare(now: Opened, other: Layer, words: string): void {
  if (now.other !== other) release(now.other);
  now.other = other;
  stage.compare(other);
  stage.part(Number(split.value) / 100);
  part("left-name").textContent = now.layer.name;
  part("right-name").textContent = other.name;
  part("parted").hidden = false;
  part("compared").textContent = words;
}

async function compareWith(file: Blob, name: string): Promise<void> {
  const now = opened;
  if (!now) return;
  const aez = /\.aez$/i.test(name);
  const layer = aez ? await layerOf(file, name) : new BitmapLayer(name, await bitmapOf(file, name));
  if (opened !== now) return layer.close();
  const { width, height } = layer.size;
  compare(now, layer, `${name}: ${width}x${height} pixels, ${number(file.size)} bytes`);
}

async function bitmapOf(file: Blob, name: string): Promise<ImageBitmap> {
  return await createImageBitmap(file).catch((error: unknown) => {
    throw new UnsupportedInput(`this browser cannot show ${name} as a picture`, { cause: error });
  });
}

async function compareAtBytes(type: string): Promise<void> {
  const now = opened;
  if (!now) return;
  const format = nameOf(type);
  part("compared").textContent = `making ${format} of the same size…`;
  try {
    const { size } = now.layer.file;
    const { blob, quality } = await atBytes(await now.whole(), type, size);
    const bitmap = await bitmapOf(blob, format);
    if (opened !== now) return bitmap.close();
    const more = blob.size > size ? `, which is the least that it needs; this file has ${number(size)}` : "";
    const words = `${format} at quality ${Math.round(100 * quality)}: ${number(blob.size)} bytes${more}`;
    compare(now, new BitmapLayer(format, bitmap), words);
  } catch (error) {
    if (opened === now) uncompare();
    throw error;
  }
}

async function save(): Promise<void> {
  const now = opened;
  if (!now) return;
  say("making a PNG");
  const blob = await blobOf(await now.whole(), "image/png");
  const name = `${now.layer.name.replace(/\.aez$/i, "")}.png`;
  download(blob, name);
  const deep = now.layer.header.bits > 8 ? ", of which each sample has 8 bits" : "";
  say(`saved ${name}, ${number(blob.size)} bytes${deep}`);
}

/** The files that `aez view` serves. */
async function openServed(): Promise<void> {
  const response = await fetch("../files.json");
  const names = (await response.json()) as string[];
  picked.replaceChildren(...names.map((name, place) => new Option(name, String(place))));
  part("picked").hidden = names.length < 2;
  if (!names.length) return;
  const show = () =>
    trying(async () => {
      const place = Number(picked.value);
      const file = await fetch(`../files/${place}`);
      if (!file.ok) throw new UnsupportedInput(`${names[place]} could not be read: ${file.status} ${file.statusText}`);
      await open(await file.blob(), names[place] as string);
    });
  picked.addEventListener("change", show);
  await show();
}

function listen(): void {
  const click = (id: string, work: () => void) => part(id).addEventListener("click", work);
  click("in", () => stage.zoomBy(stage.factor));
  click("out", () => stage.zoomBy(1 / stage.factor));
  click("fit", () => stage.fit());
  click("full", () => stage.zoomTo(1));
  click("heat", toggleHeat);
  click("save", () => void trying(save));
  for (const [id, work] of [["open", open] as const, ["other", compareWith] as const]) {
    const input = part<HTMLInputElement>(id);
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) void trying(() => work(file, file.name));
      input.value = "";
    });
  }
  against.addEventListener("change", () => {
    const { value } = against;
    if (value === "") uncompare();
    else if (value === "file") part("other").click();
    else if (value === "original") {
      if (opened && original) compare(opened, original, `with ${original.name}`);
    } else void trying(() => compareAtBytes(value));
  });
  split.addEventListener("input", () => stage.part(Number(split.value) / 100));
  part("stage").addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey }) => {
    if (key === "h" && !ctrlKey && !metaKey && !altKey) toggleHeat();
  });
  for (const kind of ["dragover", "drop"] as const) {
    addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.toggle("dropping", kind === "dragover");
    });
  }
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  addEventListener("drop", ({ dataTransfer }) => {
    const file = dataTransfer?.files[0];
    if (!file) return;
    // Beside an .aez that was opened another picture is laid for comparison; all else is opened.
    const beside = opened && !original && !/\.aezm?$/i.test(file.name);
    void trying(() => (beside ? compareWith : open)(file, file.name));
  });
}

interface LaunchQueue {
  setConsumer(take: (launch: { files: readonly FileSystemFileHandle[] }) => void): void;
}

listen();
enable(false, false);
if (new URLSearchParams(location.search).has("served")) void trying(openServed);
else {
  void navigator.serviceWorker?.register("service-worker.js").catch(() => undefined); // without one it works online
  (globalThis as { launchQueue?: LaunchQueue }).launchQueue?.setConsumer(({ files: [file] }) => {
    if (file) void trying(async () => open(await file.getFile(), file.name));
  });
}
