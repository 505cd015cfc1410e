// The panel that encodes: a picture that is no `.aez`, the quality, the model, and what comes of them.
import { Coder } from "./coder.js";
import { type Encoder, servedEncoders } from "./encoders.js";
import { number } from "./panel.js";

/** Pixels up to which each change is encoded by itself. */
const LIVE_PIXELS = 2e6;
/** Milliseconds without a change before that begins. */
const DEBOUNCE = 150;
/** Seconds for a million pixels, until the first picture tells. */
const SECONDS = 2.5;
const TRAITS: Record<string, string> = {
  "photo-visual": "looks best",
  photo: "highest PSNR",
  "photo-fast": "fast",
};

/** The parts of the page that belong to it. */
export interface Controls {
  section: HTMLElement;
  quality: HTMLInputElement;
  chosen: HTMLElement;
  model: HTMLSelectElement;
  words: HTMLElement;
  progress: HTMLProgressElement;
  run: HTMLButtonElement;
  save: HTMLButtonElement;
}

export interface Told {
  /** There is a new file of the picture that was opened. */
  encoded(file: Blob, name: string): Promise<void>;
  save(file: Blob, name: string): void;
  /** Work begins: what was wrong before is so no more. */
  begun(): void;
  failed(error: unknown): void;
}

interface Source {
  name: string;
  bytes: number;
  bitmap: ImageBitmap;
  coder: Coder;
  file: Blob | null;
}

export class EncodePanel {
  private readonly encoders: Encoder[] = [];
  private asked: Promise<void> | null = null;
  private source: Source | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pace = SECONDS;

  constructor(
    private readonly parts: Controls,
    private readonly told: Told,
  ) {
    parts.quality.addEventListener("input", () => this.changed());
    parts.model.addEventListener("change", () => this.changed());
    parts.run.addEventListener("click", () => void this.encode());
    parts.save.addEventListener("click", () => {
      if (this.source?.file) told.save(this.source.file, aezName(this.source.name));
    });
  }

  /** Takes a picture, which goes on belonging to the caller, of a file with so many bytes. */
  async open(name: string, bytes: number, bitmap: ImageBitmap): Promise<void> {
    this.close();
    const source = { name, bytes, bitmap, coder: new Coder(bitmap), file: null };
    this.source = source;
    this.parts.section.hidden = false;
    this.parts.words.textContent = "";
    this.asked ??= servedEncoders().then((found) => {
      this.encoders.push(...found.filter(({ id }) => !this.encoders.some((known) => known.id === id)));
    });
    await this.asked;
    if (this.source !== source) return;
    this.list();
    this.changed(0);
  }

  close(): void {
    clearTimeout(this.timer);
    this.source?.coder.close();
    this.source = null;
    this.parts.section.hidden = true;
    this.work(false);
    this.parts.save.disabled = true;
  }

  /** A model that was dropped, which is the one to use now. */
  add(encoder: Encoder): void {
    const at = this.encoders.findIndex(({ id }) => id === encoder.id);
    if (at < 0) this.encoders.push(encoder);
    this.list();
    this.parts.model.value = encoder.id;
    this.changed(0);
  }

  /** Encodes as it did: what was made may be seen now. */
  again(): void {
    this.changed(0);
  }

  private list(): void {
    const { model, quality } = this.parts;
    const before = model.value;
    const label = (name: string) => (TRAITS[name] ? `${name}: ${TRAITS[name]}` : name);
    model.replaceChildren(...this.encoders.map(({ id, name }) => new Option(label(name), id)));
    if (before) model.value = before;
    for (const control of [model, quality]) control.disabled = !this.encoders.length;
  }

  private changed(wait = DEBOUNCE): void {
    const { quality, chosen, words, run, save } = this.parts;
    chosen.textContent = quality.value;
    save.disabled = true; // until there is a file of these settings
    clearTimeout(this.timer);
    if (!this.source) return;
    this.source.coder.stop();
    this.work(false);
    const pixels = this.source.bitmap.width * this.source.bitmap.height;
    run.hidden = pixels <= LIVE_PIXELS || !this.encoders.length;
    if (!this.encoders.length) {
      const how = "drop a model or its encoding half (aez models export NAME --encoder) onto the page";
      words.textContent = `No model that encodes is here: ${how}.`;
    } else if (pixels <= LIVE_PIXELS) this.timer = setTimeout(() => void this.encode(), wait);
    else {
      const seconds = number(Math.ceil((this.pace * pixels) / 1e6));
      words.textContent = `${(pixels / 1e6).toFixed(1)} million pixels: about ${seconds} seconds on this device.`;
    }
  }

  private async encode(): Promise<void> {
    const { parts, source } = this;
    const encoder = this.encoders.find(({ id }) => id === parts.model.value);
    if (!source || !encoder) return;
    const quality = Number(parts.quality.value);
    this.told.begun();
    this.work(true);
    parts.save.disabled = true;
    if (!source.file) parts.words.textContent = "Encoding…";
    try {
      const { bytes, seconds } = await source.coder.encode(encoder, quality, (done, tiles) => {
        parts.progress.value = done / tiles;
      });
      const { width, height } = source.bitmap;
      this.pace = (1e6 * seconds) / (width * height);
      source.file = new Blob([bytes]);
      parts.save.disabled = false;
      this.work(false);
      const rate = ((8 * bytes.length) / (width * height)).toFixed(3);
      const share = `${((100 * bytes.length) / source.bytes).toFixed(1)} % of ${source.name}`;
      parts.words.textContent = `${number(bytes.length)} bytes, ${rate} bits a pixel, ${share}`;
      await this.told.encoded(source.file, aezName(source.name));
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      this.work(false);
      parts.words.textContent = "";
      this.told.failed(error);
    }
  }

  private work(on: boolean): void {
    this.parts.section.classList.toggle("working", on);
    this.parts.progress.removeAttribute("value"); // how far is unknown until a tile is done
  }
}

function aezName(name: string): string {
  return `${name.replace(/\.\w{1,5}$/, "")}.aez`;
}
