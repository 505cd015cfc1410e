// The stage: what is drawn, and how it is moved by pointer, wheel and keys.
import { fitting, type View } from "./geometry.js";
import { type Heat, heat } from "./heat.js";
import { FileLayer, type Layer, type Screen } from "./layers.js";

const ZOOM_MAX = 32;
const STEP = 1.5;
/** Share of the stage by which an arrow key moves it. */
const MOVE = 0.15;

export class Stage {
  private view: View = { x: 0, y: 0, zoom: 1 };
  private screen: Screen = { width: 1, height: 1, density: 1 };
  private picture: Layer | null = null;
  /** What is drawn beneath the picture until all of that is there, and what is called then. */
  private under: { layer: Layer; over: () => void } | null = null;
  private other: Layer | null = null;
  /** Whether all of the picture is to be seen, whatever the size of the window. */
  private fits = true;
  private drawing = false;
  private readonly context: CanvasRenderingContext2D;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  /** Where the two pictures are parted, of the stage's width; 1 where there is one. */
  private split = 0.5;
  heat: Heat | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    /** Called after each drawing. */
    private readonly onDraw: (view: View, left: number) => void,
  ) {
    const colorSpace = matchMedia("(color-gamut: p3)").matches ? "display-p3" : "srgb";
    this.context = canvas.getContext("2d", { colorSpace }) as CanvasRenderingContext2D;
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    });
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const kind of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(kind, ({ pointerId }) => this.pointers.delete(pointerId));
    }
    this.resize();
  }

  /** Shows a picture instead of what was there; whoever closes the old one does it. */
  show(picture: Layer | null): void {
    this.uncover();
    this.picture = picture;
    this.other = null;
    this.heat = null;
    this.fit();
  }

  /** Shows another state of the same picture. What was there stays beneath until that is whole; then `over` is called. */
  replace(picture: Layer, over: () => void): void {
    if (this.picture && !this.picture.left) {
      this.uncover();
      this.under = { layer: this.picture, over };
    } else over();
    this.picture = picture;
    this.draw();
  }

  compare(other: Layer | null): void {
    this.other = other;
    this.draw();
  }

  part(split: number): void {
    this.split = split;
    this.draw();
  }

  fit(): void {
    this.fits = true;
    if (this.picture) this.view = fitting(this.picture.size, this.screen);
    this.draw();
  }

  /** To this many screen pixels for each of the picture, where a point of the stage stays where it is. */
  zoomTo(zoom: number, x = this.screen.width / 2, y = this.screen.height / 2): void {
    if (!this.picture) return;
    const least = Math.min(1, fitting(this.picture.size, this.screen).zoom / 2);
    const wanted = Math.min(ZOOM_MAX, Math.max(least, zoom));
    const [fromX, fromY] = [x - this.screen.width / 2, y - this.screen.height / 2];
    const by = 1 / this.view.zoom - 1 / wanted;
    this.moveTo(this.view.x + fromX * by, this.view.y + fromY * by, wanted);
  }

  zoomBy(factor: number): void {
    this.zoomTo(this.view.zoom * factor);
  }

  get factor(): number {
    return STEP;
  }

  draw(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.drawNow();
    });
  }

  private uncover(): void {
    this.under?.over();
    this.under = null;
  }

  private moveTo(x: number, y: number, zoom: number): void {
    if (!this.picture) return;
    const { width, height } = this.picture.size;
    this.fits = false;
    this.view = { x: Math.min(width, Math.max(0, x)), y: Math.min(height, Math.max(0, y)), zoom };
    this.draw();
  }

  private moveBy(x: number, y: number): void {
    this.moveTo(this.view.x + x / this.view.zoom, this.view.y + y / this.view.zoom, this.view.zoom);
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const density = devicePixelRatio;
    this.screen = { width: Math.max(1, width), height: Math.max(1, height), density };
    [this.canvas.width, this.canvas.height] = [Math.round(width * density), Math.round(height * density)];
    if (this.fits) this.fit();
    else this.draw();
  }

  private key(event: KeyboardEvent): void {
    const { width, height } = this.screen;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => this.moveBy(-MOVE * width, 0),
      ArrowRight: () => this.moveBy(MOVE * width, 0),
      ArrowUp: () => this.moveBy(0, -MOVE * height),
      ArrowDown: () => this.moveBy(0, MOVE * height),
      "+": () => this.zoomBy(STEP),
      "=": () => this.zoomBy(STEP),
      "-": () => this.zoomBy(1 / STEP),
      "0": () => this.fit(),
      "1": () => this.zoomTo(1),
    };
    const move = event.ctrlKey || event.metaKey || event.altKey ? undefined : moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  }

  private wheel(event: WheelEvent): void {
    if (!this.picture) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    const factor = Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400));
    this.zoomTo(this.view.zoom * factor, event.offsetX, event.offsetY);
  }

  /** One pointer moves the picture, two of them zoom it. */
  private drag({ pointerId, offsetX: x, offsetY: y }: PointerEvent): void {
    const before = this.pointers.get(pointerId);
    if (!before || !this.picture) return;
    const other = [...this.pointers].find(([id]) => id !== pointerId)?.[1];
    this.pointers.set(pointerId, { x, y });
    if (!other) {
      this.moveBy(before.x - x, before.y - y);
      return;
    }
    const [was, is] = [before, { x, y }].map((point) => Math.hypot(point.x - other.x, point.y - other.y));
    if (was && is) this.zoomTo((this.view.zoom * is) / was, (x + other.x) / 2, (y + other.y) / 2);
  }

  private drawNow(): void {
    const { context, view, screen, picture, other } = this;
    const { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = view.zoom * screen.density < 2;
    context.imageSmoothingQuality = "high";
    if (picture) {
      const at = Math.round((other ? this.split : 1) * width);
      this.clipped(0, at, () => {
        this.under?.layer.draw(context, view, screen);
        picture.draw(context, view, screen);
      });
      if (!picture.left && !picture.failed) this.uncover();
      if (other) {
        const factor = other.size.width / picture.size.width;
        const down = other.size.height / picture.size.height;
        const same = { x: view.x * factor, y: view.y * down, zoom: view.zoom / factor };
        this.clipped(at, width, () => other.draw(context, same, screen));
        context.fillStyle = "#fff";
        context.fillRect(at - screen.density, 0, 2 * screen.density, height);
      }
      const warmth = this.heat;
      if (warmth && picture instanceof FileLayer) {
        this.clipped(0, at, () => heat(context, picture.placed(view, screen), warmth, screen));
      }
    }
    this.onDraw(view, (picture?.left ?? 0) + (other?.left ?? 0));
  }

  private clipped(left: number, right: number, draw: () => void): void {
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, 0, right - left, this.canvas.height);
    this.context.clip();
    draw();
    this.context.restore();
  }
}
