// Samples cut, made smaller, turned.
import { type Box, heightOf, widthOf } from "../image/boxes.js";
import { blank, type Numbers, type Samples } from "../image/samples.js";

/** The part of samples within a box, of which one corner is 0, 0. */
export function cut<Data extends Numbers>(samples: Samples<Data>, box: Box): Samples<Data> {
  const { channels } = samples;
  const [width, height] = [widthOf(box), heightOf(box)];
  if (width === samples.width && height === samples.height) return samples;
  const data = blank(samples.data, width * height * channels);
  for (let row = 0; row < height; row++) {
    const from = ((box.top + row) * samples.width + box.left) * channels;
    data.set(samples.data.subarray(from, from + width * channels), row * width * channels);
  }
  return { width, height, channels, data };
}

/** Means of blocks of scale x scale samples, rounded half up; those at the edges are cut off there. */
export function reduced<Data extends Numbers>(samples: Samples<Data>, scale: number): Samples<Data> {
  if (scale === 1) return samples;
  const { channels } = samples;
  const [width, height] = [Math.ceil(samples.width / scale), Math.ceil(samples.height / scale)];
  const data = blank(samples.data, width * height * channels);
  for (let row = 0; row < height; row++) {
    const bottom = Math.min((row + 1) * scale, samples.height);
    for (let column = 0; column < width; column++) {
      const right = Math.min((column + 1) * scale, samples.width);
      const count = (bottom - row * scale) * (right - column * scale);
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let y = row * scale; y < bottom; y++) {
          for (let x = column * scale; x < right; x++)
            sum += samples.data[(y * samples.width + x) * channels + channel] as number;
        }
        data[(row * width + column) * channels + channel] = Math.floor((sum + Math.floor(count / 2)) / count);
      }
    }
  }
  return { width, height, channels, data };
}

/** Samples turned and mirrored as EXIF's orientation 1..8 says. */
export function turned<Data extends Numbers>(samples: Samples<Data>, orientation: number): Samples<Data> {
  if (orientation === 1) return samples;
  const { channels } = samples;
  const across = orientation > 4;
  const [width, height] = across ? [samples.height, samples.width] : [samples.width, samples.height];
  const flipRows = [3, 4, 7, 8].includes(orientation);
  const flipColumns = [2, 3, 6, 7].includes(orientation);
  const data = blank(samples.data, samples.data.length);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const row = flipRows ? height - 1 - y : y;
    for (let x = 0; x < width; x++) {
      const column = flipColumns ? width - 1 - x : x;
      let from = (across ? column * samples.width + row : row * samples.width + column) * channels;
      for (let channel = 0; channel < channels; channel++) data[to++] = samples.data[from++] as number;
    }
  }
  return { width, height, channels, data };
}

/** Where a box of a picture of so many pixels lies once that is turned. */
export function turnedBox(box: Box, width: number, height: number, orientation: number): Box {
  const mirrored = [2, 3, 6, 7].includes(orientation);
  const upended = [3, 4, 7, 8].includes(orientation);
  const across = orientation > 4;
  const [left, right] = across ? [box.top, box.bottom] : [box.left, box.right];
  const [top, bottom] = across ? [box.left, box.right] : [box.top, box.bottom];
  const [columns, rows] = across ? [height, width] : [width, height];
  return {
    left: mirrored ? columns - right : left,
    right: mirrored ? columns - left : right,
    top: upended ? rows - bottom : top,
    bottom: upended ? rows - top : bottom,
  };
}
