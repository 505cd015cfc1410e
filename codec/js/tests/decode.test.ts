// What callers see: inputs, options, errors, parts. That symbols and pixels are aez's is held by tests/codec/js.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { deflateRawSync } from "node:zlib";
import { parseJson } from "../src/bundle/json.js";
import {
  CorruptFile,
  decode,
  InvalidArgument,
  info,
  ModelError,
  type PackedModel,
  type Tile,
  toBitmap,
  UnsupportedInput,
} from "../src/index.js";

const golden = join(import.meta.dirname ?? ".", "..", "..", "..", "..", "tests", "codec", "golden");
const scripts = join(import.meta.dirname ?? ".", "..", "..", "scripts");
const read = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(golden, name)));
const tiles = read("learned_tiles.aez");
const model = read("golden.aezm");
const ID = "add05d793ae7a288";

test("a header is read from the first bytes alone", () => {
  const header = info(tiles.subarray(0, 78));
  assert.equal(header.width, 61);
  assert.equal(header.height, 83);
  assert.equal(header.tiles, 2);
  assert.equal(header.model, ID);
  assert.throws(() => info(tiles.subarray(0, 20)), { name: "TruncatedFile", code: 3 });
});

test("bytes, blobs, responses and streams give one picture", async () => {
  const expected = await decode(tiles, { model });
  const slow = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < tiles.length; at += 7) controller.enqueue(tiles.subarray(at, at + 7));
      controller.close();
    },
  });
  for (const input of [tiles.buffer.slice(0), new Blob([tiles]), new Response(tiles), slow]) {
    assert.deepEqual((await decode(input, { model })).data, expected.data);
  }
});

test("tiles come in the order of the file, from a stream before it ends, and make the picture", async () => {
  const found: Tile[] = [];
  let ended = false;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(tiles.subarray(0, tiles.length - 10));
      while (found.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
      controller.enqueue(tiles.subarray(tiles.length - 10));
      ended = true;
      controller.close();
    },
  });
  const early: boolean[] = [];
  const onTile = (tile: Tile) => {
    found.push(tile);
    early.push(!ended);
  };
  const picture = await decode(stream, { model, onTile });
  const rgba = picture.rgba();
  assert.deepEqual(early, [true, true]);
  for (const { x, y, width, height, rgba: part } of found) {
    for (let row = 0; row < height; row++) {
      const from = 4 * ((y + row) * picture.width + x);
      assert.deepEqual(part.slice(4 * row * width, 4 * (row + 1) * width), rgba.slice(from, from + 4 * width));
    }
  }
});

test("a picture is turned as it is shown, unless that is not wanted", async () => {
  const file = read("turned.aez");
  const { orientation, width, height } = info(file);
  assert.ok(orientation > 4);
  const shown = await decode(file, { model });
  assert.deepEqual([shown.width, shown.height], [height, width]);
  const stored = await decode(file, { model, stored: true });
  assert.deepEqual([stored.width, stored.height], [width, height]);
});

test("a model comes by its id, from a package or whoever has it, and an embedded one comes first", async () => {
  const packed = { id: ID.padEnd(64, "0"), size: model.length, packed: deflateRawSync(model).toString("base64") };
  await decode(tiles, { model: [packed] });
  const asked: string[] = [];
  const find = async (id: string) => {
    asked.push(id);
    return model;
  };
  await decode(tiles, { model: find });
  assert.deepEqual(asked, [ID]);
  await decode(read("learned_embedded.aez"), { model: () => assert.fail("it is in the file") });
  await decode(read("learned_embedded.aez"), { model: [read("example.aezm")] });
  await assert.rejects(decode(read("learned_embedded.aez"), { model: read("example.aezm") }), ModelError);
  await assert.rejects(decode(tiles), ModelError);
  await assert.rejects(decode(tiles, { model: { ...packed, size: 5 } }), ModelError);
});

test("aez-model makes a package of a model, and says what is none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "aez-model-"));
  const made = (file: string, name: string) =>
    spawnSync(process.execPath, [join(scripts, "model.mjs"), join(golden, file), join(folder, name)], {
      encoding: "utf8",
    });
  assert.equal(made("golden.aezm", "golden.mjs").status, 0);
  const { default: packed } = (await import(pathToFileURL(join(folder, "golden.mjs")).href)) as {
    default: PackedModel;
  };
  assert.deepEqual((await decode(tiles, { model: [packed] })).data, (await decode(tiles, { model })).data);
  assert.match(readFileSync(join(folder, "golden.d.mts"), "utf8"), /PackedModel/);
  const { status, stderr } = made("learned_tiles.aez", "none.js");
  assert.equal(status, 4);
  assert.match(stderr, /^aez-model: [^\n]+\n$/);
  assert.deepEqual(readdirSync(folder).sort(), ["golden.d.mts", "golden.mjs"]);
  rmSync(folder, { recursive: true });
});

test("what is asked for wrongly, or too much, is refused", async () => {
  await assert.rejects(decode(tiles, { model, region: [0, 0, 62, 1] }), InvalidArgument);
  await assert.rejects(decode(tiles, { model, scale: 3 }), InvalidArgument);
  await assert.rejects(toBitmap(await decode(tiles, { model })), UnsupportedInput); // here is no browser
  await assert.rejects(decode(tiles, { model, maxPixels: 61 * 83 - 1 }), UnsupportedInput);
  await assert.rejects(decode("learned_tiles.aez" as unknown as Blob), InvalidArgument);
  await assert.rejects(decode(new Response("gone", { status: 404 })), InvalidArgument);
  await assert.rejects(decode(new Uint8Array(100)), CorruptFile);
});

test("a signal ends the work with its reason", async () => {
  const controller = new AbortController();
  const stop = new Error("enough");
  const work = decode(tiles, { model, signal: controller.signal, onTile: () => controller.abort(stop) });
  await assert.rejects(work, stop);
  await assert.rejects(decode(tiles, { model, signal: AbortSignal.abort(stop) }), stop);
});

test("metadata and deep samples are handed on", async () => {
  const { metadata } = await decode(read("metadata.aez"));
  assert.ok(metadata.exif && metadata.xmp && metadata.icc);
  assert.ok((await decode(read("exact_16_bits.aez"))).data instanceof Uint16Array);
  assert.ok((await decode(read("range.aez"))).data instanceof Float32Array);
});

test("manifests have one spelling", () => {
  const spelled = (text: string) => {
    const { value, spelled } = parseJson(new TextEncoder().encode(text));
    return spelled.get(value);
  };
  assert.equal(
    spelled('{"b": [1.0, 1, 1e-05, 0.0001, 1e+16, -0.0], "a\u00e9": null}'),
    '{"a\\u00e9":null,"b":[1.0,1,1e-05,0.0001,1e+16,-0.0]}',
  );
  for (const wrong of [
    '{"a": 1e2}',
    '{"a": 0.50}',
    '{"a": 1, "a": 2}',
    '{"a": 01}',
    '{"a": -0}',
    '{"a": 0.00001}',
    "{} x",
    '{"a" 1}',
    "[1,]",
  ]) {
    assert.throws(() => spelled(wrong), ModelError, wrong);
  }
});

test("what is handed over wrongly is said in one sentence", async () => {
  const taken = new Response(tiles);
  await taken.arrayBuffer();
  const held = new Response(tiles);
  held.body?.getReader();
  for (const input of [taken, held]) {
    await assert.rejects(decode(input, { model }), new InvalidArgument("the file has been read already"));
  }
  const wrong = (options: object) => decode(tiles, { model, ...options } as Parameters<typeof decode>[1]);
  await assert.rejects(wrong({ region: { x: 0, y: 0 } }), { name: "InvalidArgument", code: 2 });
  await assert.rejects(wrong({ maxPixels: Number.NaN }), { name: "UnsupportedInput", code: 5 });
  for (const given of ["photo.mjs", null, [null], [7], () => "x"]) {
    await assert.rejects(wrong({ model: given }), { name: "ModelError", code: 4 });
  }
  for (const options of [null, 5, "region"]) {
    await assert.rejects(decode(tiles, options as never), /^InvalidArgument: options are an object/);
  }
  for (const name of ["onTile", "onHeader", "signal", "runtime"]) {
    await assert.rejects(wrong({ [name]: "text" }), new RegExp(`^InvalidArgument: ${name} is of the wrong kind`));
  }
  assert.ok(await wrong({ onTile: undefined, signal: null }));
  await assert.rejects(wrong({ region: "1234" }), { name: "InvalidArgument" });
  for (const given of ["text", null, 5]) {
    assert.throws(() => info(given as never), /^InvalidArgument: a file is handed over as bytes/);
    await assert.rejects(toBitmap(given as never), /^InvalidArgument: toBitmap takes what decode gave/);
    const stream = new ReadableStream({ start: (controller) => controller.enqueue(given) });
    await assert.rejects(decode(stream as never), /^InvalidArgument: a file is handed over as bytes/);
  }
});
