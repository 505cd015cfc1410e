// What a tile shows: a photograph, or graphics (text, drawings, screens, flat colours), block by block.
import { type Box, heightOf, widthOf } from "../image/boxes.js";
import type { Colours } from "./tile.js";

/** Shares of a tile's blocks. */
export interface Shown {
  photo: number;
  drawn: number;
}

const BLOCK = 16;
/** Graphics have this share of pixels that equal a neighbour, or so few colours in a block. */
const EQUAL_SHARE = 0.5;
const FEW_COLOURS = 24;
/** What is drawn has at most so many, the greys of smoothed text among them, and more contrast than this. */
const [DRAWN_COLOURS, CONTRAST] = [48, 24];
/** Share of a block's pixels of one colour that make a background. */
const BACKGROUND = 36 / 256;

/** As aez in Python looks at the blocks of a picture, without what it does at the edges of photographs. */
export function lookAt(picture: Colours, box: Box): Shown {
  const [rows, columns] = [Math.ceil(heightOf(box) / BLOCK), Math.ceil(widthOf(box) / BLOCK)];
  const photo = new Uint8Array(rows * columns);
  let drawn = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const kind = kindOf(picture, box, box.top + row * BLOCK, box.left + column * BLOCK);
      if (kind === "photo") photo[row * columns + column] = 1;
      else if (kind === "drawn") drawn++;
    }
  }
  let kept = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (photo[row * columns + column] && neighbours(photo, rows, columns, row, column) > 2) kept++;
    }
  }
  return { photo: kept / photo.length, drawn: drawn / photo.length };
}

function kindOf({ width, data }: Colours, box: Box, top: number, left: number): "photo" | "drawn" | "plain" {
  const [bottom, right] = [Math.min(top + BLOCK, box.bottom), Math.min(left + BLOCK, box.right)];
  const colours = new Uint32Array((bottom - top) * (right - left));
  const colourAt = (row: number, column: number) => {
    const at = 4 * (row * width + column);
    return ((data[at] as number) << 16) | ((data[at + 1] as number) << 8) | (data[at + 2] as number);
  };
  let [count, equal, least, most] = [0, 0, 255, 0];
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const colour = colourAt(row, column);
      const beside = column > box.left && colour === colourAt(row, column - 1);
      if (beside || (row > box.top && colour === colourAt(row - 1, column))) equal++;
      const green = (colour >> 8) & 255;
      least = Math.min(least, green);
      most = Math.max(most, green);
      colours[count++] = colour;
    }
  }
  colours.sort();
  let [found, run, longest] = [0, 0, 0];
  for (let at = 0; at < count; at++) {
    run = at && colours[at] === colours[at - 1] ? run + 1 : 1;
    if (run === 1) found++;
    longest = Math.max(longest, run);
  }
  const flat = equal >= EQUAL_SHARE * count;
  if (!flat && found > FEW_COLOURS && longest <= BACKGROUND * count) return "photo";
  return flat && most - least >= CONTRAST && found <= DRAWN_COLOURS ? "drawn" : "plain";
}

/** Photographs among a block and the eight around it. */
function neighbours(photo: Uint8Array, rows: number, columns: number, row: number, column: number): number {
  let count = 0;
  for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, rows - 1); y++) {
    for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, columns - 1); x++)
      count += photo[y * columns + x] as number;
  }
  return count;
}
