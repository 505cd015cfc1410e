// Items on canvases, pictures as they are and vectors as bars; and films of them.

const BARS = { width: 224, height: 168 };
const SECONDS = 4;
const RATE = 30;

/** Width and height that an item is drawn with. */
export function sizeOf(model) {
  return model.kind === "pictures" ? { width: model.shape[1], height: model.shape[0] } : BARS;
}

/** Draws an item at a place; `spread` scales the bars of vectors. */
export function drawItem(pen, model, item, x = 0) {
  const { width, height } = sizeOf(model);
  if (model.kind === "pictures") {
    pen.putImageData(new ImageData(model.rgba(item), width, height), x, 0);
    return;
  }
  const style = getComputedStyle(document.documentElement);
  const highest = Math.max(...item.map(Math.abs), 1e-9);
  const each = width / item.length;
  pen.fillStyle = style.getPropertyValue("--panel");
  pen.fillRect(x, 0, width, height);
  pen.fillStyle = style.getPropertyValue("--signal");
  item.forEach((value, at) => {
    const tall = (Math.abs(value) / highest) * (height / 2 - 4);
    pen.fillRect(x + at * each + 0.5, value > 0 ? height / 2 - tall : height / 2, Math.max(each - 1, 0.5), tall);
  });
}

/** Items on a canvas of their size, side by side. */
export function drawItems(canvas, model, items) {
  const { width, height } = sizeOf(model);
  const gap = items.length > 1 ? Math.max(1, Math.round(width / 20)) : 0;
  const wide = items.length * (width + gap) - gap;
  if (canvas.width !== wide || canvas.height !== height) Object.assign(canvas, { width: wide, height });
  const pen = canvas.getContext("2d");
  items.forEach((item, at) => {
    drawItem(pen, model, item, at * (width + gap));
  });
}

/** A WebM film there and back, of items at shares 0..1 of a way. Throws Error where the browser records none. */
export async function filmOf(model, itemAt, seconds = SECONDS) {
  if (typeof MediaRecorder === "undefined" || !MediaRecorder.isTypeSupported("video/webm")) {
    throw new Error("This browser records no WebM films.");
  }
  const { width, height } = sizeOf(model);
  const large = Math.max(1, Math.round(320 / Math.max(width, height)));
  const canvas = Object.assign(document.createElement("canvas"), { width: width * large, height: height * large });
  const small = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  const recorder = new MediaRecorder(canvas.captureStream(RATE), { mimeType: "video/webm", videoBitsPerSecond: 4e6 });
  const pieces = [];
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const ended = new Promise((resolve) => {
    recorder.onstop = resolve;
  });
  recorder.start();
  const start = performance.now();
  for (let passed = 0; passed < seconds; passed = (performance.now() - start) / 1000) {
    const share = (1 - Math.cos((2 * Math.PI * passed) / seconds)) / 2;
    drawItems(small, model, [itemAt(share)]);
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    await new Promise((resolve) => setTimeout(resolve, 1000 / RATE));
  }
  recorder.stop();
  await ended;
  return new Blob(pieces, { type: "video/webm" });
}
