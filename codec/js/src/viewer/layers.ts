// What can be laid on the stage: an `.aez` file by its tiles, or a picture that the browser shows.
import type { Header } from "../index.js";
import type { ModelSource } from "../page/index.js";
import type { View } from "./geometry.js";
import {
  mapped,
  onScreen,
  overlaps,
  type Rect,
  rounded,
  type Size,
  seen,
  shownSize,
  tileRect,
  turning,
} from "./geometry.js";
import { scaleFor, Tiles } from "./tiles.js";

export interface Screen extends Size {
  /** Pixels of the canvas for one of CSS. */
  density: number;
}

/** Something of a size that draws the part of it that a view shows. */
export interface Layer {
  readonly size: Size;
  readonly name: string;
  draw(context: CanvasRenderingContext2D, view: View, screen: Screen): void;
  /** How many parts of what is seen are still to come. */
  readonly left: number;
  /** Whether some of it never comes. */
  readonly failed: boolean;
  close(): void;
}

/** A picture that lies in memory. */
export class BitmapLayer implements Layer {
  readonly left = 0;
  readonly failed = false;
  readonly size: Size;

  constructor(
    readonly name: string,
    private readonly bitmap: ImageBitmap,
  ) {
    this.size = { width: bitmap.width, height: bitmap.height };
  }

  draw(context: CanvasRenderingContext2D, view: View, screen: Screen): void {
    const { width, height } = this.size;
    const { left, top, right, bottom } = rounded(
      mapped({ left: 0, top: 0, right: width, bottom: height }, onScreen(view, screen, screen.density)),
    );
    context.drawImage(this.bitmap, left, top, right - left, bottom - top);
  }

  close(): void {
    this.bitmap.close();
  }
}

/** A file, of which only the tiles that are seen are decoded. */
export class FileLayer implements Layer {
  readonly size: Size;
  private readonly tiles: Tiles;
  private readonly turning: DOMMatrix;

  constructor(
    readonly name: string,
    readonly file: Blob,
    readonly header: Header,
    models: readonly ModelSource[],
    onTile: () => void,
    onError: (error: unknown) => void,
  ) {
    this.size = shownSize(header);
    this.turning = turning(header.width, header.height, header.orientation);
    this.tiles = new Tiles(file, header, models, onTile, onError);
  }

  get left(): number {
    return this.tiles.left;
  }

  get failed(): boolean {
    return this.tiles.failed;
  }

  /** The tiles that a view shows, each with its place on the canvas. */
  placed(view: View, screen: Screen): { number: number; place: Rect }[] {
    const { header } = this;
    const stored = mapped(seen(view, screen), this.turning.inverse());
    const onto = onScreen(view, screen, screen.density).multiply(this.turning);
    const [first, last] = [
      {
        column: Math.max(0, Math.floor(stored.left / header.tile)),
        row: Math.max(0, Math.floor(stored.top / header.tile)),
      },
      {
        column: Math.min(header.columns - 1, Math.floor(stored.right / header.tile)),
        row: Math.min(header.rows - 1, Math.floor(stored.bottom / header.tile)),
      },
    ];
    const found = [];
    for (let row = first.row; row <= last.row; row++) {
      for (let column = first.column; column <= last.column; column++) {
        const number = row * header.columns + column;
        const rect = tileRect(header, number);
        if (overlaps(rect, stored)) found.push({ number, place: rounded(mapped(rect, onto)) });
      }
    }
    return found;
  }

  draw(context: CanvasRenderingContext2D, view: View, screen: Screen): void {
    const scale = scaleFor(view.zoom * screen.density);
    const placed = this.placed(view, screen);
    this.tiles.want(
      placed.map(({ number }) => number),
      scale,
    );
    const unit = turning(1, 1, this.header.orientation);
    for (const { number, place } of placed) {
      const bitmap = this.tiles.best(number, scale);
      if (!bitmap) continue;
      context.save();
      context.translate(place.left, place.top);
      context.scale(place.right - place.left, place.bottom - place.top);
      context.transform(unit.a, unit.b, unit.c, unit.d, unit.e, unit.f);
      context.drawImage(bitmap, 0, 0, 1, 1);
      context.restore();
    }
  }

  close(): void {
    this.tiles.close();
  }
}
