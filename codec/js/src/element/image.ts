// The element: a box as soon as the size is known, tiles as they arrive, words where no picture comes.
import type { Header, Tile } from "../index.js";
import { absolute, decodeSeen, fetchPicture, scaleOf, shownSize } from "../page/index.js";

/** How far below the window a picture with loading="lazy" begins to load. */
const NEAR = "400px";

const RULES = `
  :host { display: inline-block; position: relative; overflow: hidden; vertical-align: bottom; }
  :host([hidden]) { display: none; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: inherit; object-position: inherit; }
  span { overflow-wrap: anywhere; }
`;
let common: CSSStyleSheet | null = null;
let nearing: IntersectionObserver | null = null;

/** What all elements share, made with the first one: this file may be imported where there is no page. */
function rules(): CSSStyleSheet {
  if (!common) {
    common = new CSSStyleSheet();
    common.replaceSync(RULES);
  }
  return common;
}

function watch(): IntersectionObserver {
  nearing ??= new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) (target as AezImage).near();
    },
    { rootMargin: NEAR },
  );
  return nearing;
}

const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/** `<aez-img src alt width height loading="lazy" model crossorigin>`, with the events load, progress and error. */
export class AezImage extends Base {
  static readonly observedAttributes = ["src", "model", "crossorigin", "loading", "alt", "width", "height"];

  private readonly internals = this.attachInternals();
  private readonly box = new CSSStyleSheet();
  private readonly shadow = this.attachShadow({ mode: "open" });
  private canvas: HTMLCanvasElement | null = null;
  private header: Header | null = null;
  private work: AbortController | null = null;
  /** What is loading, waits for its place near the window, or is shown. */
  private of = "";
  private asked = false;
  private ended = false;

  constructor() {
    super();
    this.shadow.adoptedStyleSheets = [rules(), this.box];
    this.internals.role = "img";
  }

  /** Absolute; one that is no address stays as it is given, as with `<img>`. */
  get src(): string {
    const given = this.getAttribute("src") ?? "";
    return given && absolute(given);
  }
  set src(address: string) {
    this.setAttribute("src", address);
  }

  get alt(): string {
    return this.getAttribute("alt") ?? "";
  }
  set alt(words: string) {
    this.setAttribute("alt", words);
  }

  get loading(): "lazy" | "eager" {
    return this.getAttribute("loading") === "lazy" ? "lazy" : "eager";
  }
  set loading(how: "lazy" | "eager") {
    this.setAttribute("loading", how);
  }

  /** The address of the model, where the page's models do not have it. */
  get model(): string {
    return this.getAttribute("model") ?? "";
  }
  set model(address: string) {
    this.setAttribute("model", address);
  }

  /** Pixels of the picture as it is shown; 0 before its first bytes. */
  get naturalWidth(): number {
    return this.header ? shownSize(this.header)[0] : 0;
  }
  get naturalHeight(): number {
    return this.header ? shownSize(this.header)[1] : 0;
  }

  /** Whether nothing more will come: the picture is whole, has failed, or there is none. */
  get complete(): boolean {
    return !this.src || this.ended;
  }

  connectedCallback(): void {
    this.ask();
  }

  disconnectedCallback(): void {
    // One that is moved is in the page again at once.
    queueMicrotask(() => {
      if (!this.isConnected) this.leave();
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (name === "alt") this.describe();
    else if (name === "width" || name === "height") this.reserve();
    else {
      if (name === "src" || before !== after) this.of = ""; // the same address again is another try
      this.ask();
    }
  }

  /** Called when a lazy picture comes near the window. */
  near(): void {
    watch().unobserve(this);
    void this.load();
  }

  /** Loads once all attributes are set. */
  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    queueMicrotask(() => {
      this.asked = false;
      const { src } = this;
      if (!this.isConnected || (src && this.of === src)) return;
      this.stop();
      this.of = src;
      this.ended = false;
      if (!src) this.clear();
      else if (this.loading === "lazy") watch().observe(this);
      else void this.load();
    });
  }

  private stop(): void {
    this.work?.abort();
    this.work = null;
    watch().unobserve(this);
  }

  private leave(): void {
    this.stop();
    this.clear();
    this.of = "";
  }

  /** Gives the memory of the picture back. */
  private clear(): void {
    if (this.canvas) [this.canvas.width, this.canvas.height] = [0, 0];
    this.canvas = null;
    this.shadow.replaceChildren();
  }

  private async load(): Promise<void> {
    const { src } = this;
    this.work = new AbortController();
    const { signal } = this.work;
    this.header = null;
    try {
      const credentials = this.getAttribute("crossorigin") === "use-credentials" ? "include" : "same-origin";
      const { header, stream } = await fetchPicture(src, signal, credentials);
      const scale = scaleOf(header);
      const draw = this.begin(header, scale);
      const onTile = (tile: Tile) => {
        if (!signal.aborted) draw(tile);
      };
      await decodeSeen(stream, { signal, scale, onTile, models: this.model ? [this.model] : [] });
      signal.throwIfAborted();
      this.ended = true;
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  /** Puts a canvas where the picture will stand; what it gives draws a tile. */
  private begin(header: Header, scale: number): (tile: Tile) => void {
    const [width, height] = shownSize(header, scale);
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.part.add("picture");
    this.clear();
    this.canvas = canvas;
    this.shadow.replaceChildren(canvas);
    this.header = header;
    this.reserve();
    let loaded = 0;
    return ({ x, y, width, height, rgba, colorSpace }) => {
      const context = canvas.getContext("2d", { colorSpace });
      context?.putImageData(new ImageData(rgba, width, height, { colorSpace }), x, y);
      const progress = { lengthComputable: true, loaded: ++loaded, total: header.tiles };
      this.dispatchEvent(new ProgressEvent("progress", progress));
    };
  }

  private fail(error: unknown): void {
    this.ended = true;
    this.clear();
    const words = document.createElement("span");
    words.part.add("alt");
    words.textContent = this.alt;
    this.shadow.replaceChildren(words);
    this.reserve();
    const message = error instanceof Error ? error.message : String(error);
    this.dispatchEvent(new ErrorEvent("error", { error, message }));
  }

  private describe(): void {
    this.internals.role = this.hasAttribute("alt") && !this.alt ? "presentation" : "img";
    this.internals.ariaLabel = this.alt || null;
    const words = this.shadow.querySelector("span");
    if (words) words.textContent = this.alt;
  }

  /** Makes the box as large as the attributes say, and the picture; rules of the page are before these. */
  private reserve(): void {
    const [width, height] = [this.pixels("width"), this.pixels("height")];
    const natural = this.header ? shownSize(this.header) : null;
    const ratio = natural ?? (width && height ? [width, height] : null);
    const found = [];
    if (width ?? (height === null ? natural?.[0] : null)) found.push(`width: ${width ?? natural?.[0]}px`);
    if (height !== null) found.push(`height: ${height}px`);
    if (ratio) found.push(`aspect-ratio: ${ratio.join(" / ")}`);
    this.box.replaceSync(`:host { ${found.join("; ")} }`);
  }

  private pixels(name: "width" | "height"): number | null {
    const value = Number.parseFloat(this.getAttribute(name) ?? "");
    return value >= 0 ? value : null;
  }
}
