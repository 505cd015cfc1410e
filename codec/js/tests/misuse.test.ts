// What is handed over wrongly to the encoder and to detectors of series ends in one sentence with its code.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encode } from "../src/encode/index.js";
import { info } from "../src/index.js";
import { Detector } from "../src/series/index.js";

const golden = join(import.meta.dirname ?? ".", "..", "..", "..", "..", "tests", "codec", "golden");
const model = new Uint8Array(readFileSync(join(golden, "golden.aezm")));
const pixels = { width: 4, height: 2, data: new Uint8Array(32).fill(200) };

test("encode", async () => {
  assert.equal(info(await encode(pixels, { model })).width, 4);
  const wrong = (options: unknown, given: unknown = pixels) => encode(given as never, options as never);
  const refused = async (work: Promise<unknown>, sentence: string, code = 2) =>
    await assert.rejects(work, (error: { message: string; code: number }) => {
      assert.deepEqual([error.message, error.code], [sentence, code]);
      return true;
    });
  await refused(wrong(null), "encode takes pixels and options, a model among them");
  await refused(wrong({ model }, null), "encode takes pixels and options, a model among them");
  await refused(wrong("fast"), "options are an object");
  await refused(wrong({ model, onProgress: 5 }), "onProgress is of the wrong kind");
  await refused(wrong({ model, signal: {} }), "signal is of the wrong kind");
  for (const quality of [Number.NaN, 0, 100.5, "high"]) {
    await refused(wrong({ model, quality }), `quality ${quality} is outside 1..100`);
  }
  await refused(wrong({ model, quality: 50, bpp: 1 }), "give only one of quality, bpp");
  for (const bpp of [Number.NaN, 0, -1, "1"])
    await refused(wrong({ model, bpp }), `bpp ${bpp} is not a positive number`);
  await refused(wrong({ model, content: "text" }), "content text is none of auto, photo");
  for (const tile of [Number.NaN, 0, 65, 4096]) {
    await refused(wrong({ model, tile }), `tile size ${tile} is not a multiple of 16 in 64..2048`);
  }
  for (const width of [0, 1.5, Number.NaN, "4"]) {
    await refused(wrong({ model }, { ...pixels, width }), `a picture of ${width}x2 pixels cannot be`);
  }
  await refused(wrong({ model }, { ...pixels, height: 3 }), "32 bytes are not four for each of 4x3 pixels");
  const floats = { ...pixels, data: new Float32Array(32) };
  await refused(wrong({ model }, floats), "pixels are encoded as red, green, blue and alpha of 8 bits alone", 5);
  await refused(wrong({}), "encoding needs the half of a model for it", 4);
  await refused(wrong({ model: "photo" }), "encoding needs the half of a model for it", 4);
});

test("Detector.open", async () => {
  for (const given of [null, undefined, 5, "detector.aezm", {}]) {
    await assert.rejects(Detector.open(given as never), /^InvalidArgument: a file is handed over as bytes/);
    assert.throws(() => new Detector(given as never), { name: "InvalidArgument", code: 2 });
  }
  const taken = new Response(model);
  await taken.arrayBuffer();
  await assert.rejects(Detector.open(taken), /^InvalidArgument: the file has been read already/);
  await assert.rejects(
    Detector.open(new Response("", { status: 404 })),
    /^InvalidArgument: .* could not be fetched: 404/,
  );
  await assert.rejects(Detector.open(new Uint8Array(100)), { name: "ModelError", code: 4 });
  await assert.rejects(Detector.open({ id: "0", size: 1, packed: "%" }), { name: "ModelError", code: 4 });
  await assert.rejects(Detector.open(model), /^ModelError: model .* is made for image-codec/);
});
