// Rectangles in pixels, ends exclusive.
import type { Box } from "../container/header.js";

export type { Box };

export const widthOf = (box: Box): number => box.right - box.left;
export const heightOf = (box: Box): number => box.bottom - box.top;

/** A box with a margin, cut to another one. */
export function grown(box: Box, by: number, limit: Box): Box {
  return {
    left: Math.max(box.left - by, limit.left),
    top: Math.max(box.top - by, limit.top),
    right: Math.min(box.right + by, limit.right),
    bottom: Math.min(box.bottom + by, limit.bottom),
  };
}

/** A box with right and bottom rounded up to a unit. */
export function aligned(box: Box, unit: number): Box {
  return { ...box, right: Math.ceil(box.right / unit) * unit, bottom: Math.ceil(box.bottom / unit) * unit };
}

/** A box that begins at a multiple of a unit, too. */
export function spanned(box: Box, unit: number): Box {
  const left = Math.floor(box.left / unit) * unit;
  return aligned({ ...box, left, top: Math.floor(box.top / unit) * unit }, unit);
}

/** Where a box lies within one that starts at an origin, in units. */
export function within(box: Box, origin: Box, unit: number): Box {
  return {
    left: (box.left - origin.left) / unit,
    top: (box.top - origin.top) / unit,
    right: Math.ceil((box.right - origin.left) / unit),
    bottom: Math.ceil((box.bottom - origin.top) / unit),
  };
}

export function sameBox(a: Box, b: Box): boolean {
  return a.left === b.left && a.top === b.top && a.right === b.right && a.bottom === b.bottom;
}
