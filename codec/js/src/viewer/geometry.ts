// Where stored pixels lie in the picture as it is shown, and that on the screen.
import type { Header } from "../index.js";

/** A rectangle, ends exclusive. */
export interface Rect {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** What is looked at: the point of the shown picture in the middle, and screen pixels (of CSS) for each of its own. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Width and height as the picture is shown. */
export function shownSize({ width, height, orientation }: Header): Size {
  return orientation > 4 ? { width: height, height: width } : { width, height };
}

/** Takes stored pixels of a picture of so many to where they are shown. */
export function turning(width: number, height: number, orientation: number): DOMMatrix {
  const all: Record<number, number[]> = {
    2: [-1, 0, 0, 1, width, 0],
    3: [-1, 0, 0, -1, width, height],
    4: [1, 0, 0, -1, 0, height],
    5: [0, 1, 1, 0, 0, 0],
    6: [0, 1, -1, 0, height, 0],
    7: [0, -1, -1, 0, height, width],
    8: [0, -1, 1, 0, 0, width],
  };
  return new DOMMatrix(all[orientation] ?? [1, 0, 0, 1, 0, 0]);
}

export function mapped(rect: Rect, matrix: DOMMatrix): Rect {
  const one = matrix.transformPoint({ x: rect.left, y: rect.top });
  const other = matrix.transformPoint({ x: rect.right, y: rect.bottom });
  return {
    left: Math.min(one.x, other.x),
    top: Math.min(one.y, other.y),
    right: Math.max(one.x, other.x),
    bottom: Math.max(one.y, other.y),
  };
}

export function overlaps(a: Rect, b: Rect): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/** The stored pixels of a tile. */
export function tileRect({ width, height, tile, columns }: Header, number: number): Rect {
  const left = (number % columns) * tile;
  const top = Math.floor(number / columns) * tile;
  return { left, top, right: Math.min(left + tile, width), bottom: Math.min(top + tile, height) };
}

/** The part of the shown picture that a screen of so many pixels shows. */
export function seen({ x, y, zoom }: View, screen: Size): Rect {
  const [across, down] = [screen.width / zoom / 2, screen.height / zoom / 2];
  return { left: x - across, top: y - down, right: x + across, bottom: y + down };
}

/** Takes the shown picture to the pixels of a canvas, of which `density` stand for one of CSS. */
export function onScreen({ x, y, zoom }: View, screen: Size, density: number): DOMMatrix {
  return new DOMMatrix([
    density * zoom,
    0,
    0,
    density * zoom,
    density * (screen.width / 2 - x * zoom),
    density * (screen.height / 2 - y * zoom),
  ]);
}

/** With whole numbers, so that neighbours meet without a seam. */
export function rounded({ left, top, right, bottom }: Rect): Rect {
  return { left: Math.round(left), top: Math.round(top), right: Math.round(right), bottom: Math.round(bottom) };
}

/** The view that shows all of a picture, no pixel larger than one of the screen. */
export function fitting(picture: Size, screen: Size): View {
  const zoom = Math.min(1, screen.width / picture.width, screen.height / picture.height);
  return { x: picture.width / 2, y: picture.height / 2, zoom };
}
