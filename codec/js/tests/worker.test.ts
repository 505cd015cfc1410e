// A pool gives what `decode` gives: pictures, tiles, errors; and its workers end.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { deflateRawSync } from "node:zlib";
import { CorruptFile, decode, InvalidArgument, ModelError, type PackedModel } from "../src/index.js";
import { Pool } from "../src/worker/index.js";
import { bands, placeOf } from "../src/worker/split.js";

const home = join(import.meta.dirname ?? ".", "..", "..", "..", "..");
const golden = join(home, "tests", "codec", "golden");
const read = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(golden, name)));
const workerUrl = pathToFileURL(join(home, "codec", "js", "dist", "thread.js"));
const model = read("golden.aezm");

test("pictures are those of decode, several at once, and bytes stay", async () => {
  const pool = new Pool({ size: 2, workerUrl });
  const names = ["learned_tiles.aez", "alpha_rgba.aez", "learned_tiles.aez"];
  const found = await Promise.all(names.map((name) => pool.decode(read(name), { model })));
  for (const [at, name] of names.entries()) {
    const expected = await decode(read(name), { model });
    assert.deepEqual(found[at]?.data, expected.data);
    assert.deepEqual(found[at]?.rgba(), expected.rgba());
    assert.deepEqual(found[at]?.header, expected.header);
    assert.deepEqual(found[at]?.metadata, expected.metadata);
  }
  const bytes = read("learned_tiles.aez");
  const [one, other] = [await pool.decode(bytes, { model }), await pool.decode(bytes.buffer, { model })];
  assert.deepEqual(one.data, other.data);
  pool.close();
});

const whole = await decode(read("learned_tiles.aez"), { model });

test("regions, scales, tiles and streams", async () => {
  const pool = new Pool({ size: 1, workerUrl });
  const file = read("learned_tiles.aez");
  const options = { model, region: [16, 16, 40, 30], scale: 2 } as const;
  assert.deepEqual((await pool.decode(file, options)).data, (await decode(file, options)).data);
  let pixels = 0;
  let headers = 0;
  const stream = new Response(file);
  const picture = await pool.decode(stream, {
    model: (id) => (whole.header.model === id ? model : undefined),
    onTile: ({ width, height, rgba }) => {
      assert.equal(rgba.length, 4 * width * height);
      pixels += width * height;
    },
    onHeader: () => headers++,
  });
  assert.equal(pixels, picture.width * picture.height);
  assert.equal(headers, 1);
  pool.close();
});

test("errors keep their kind, code and words", async () => {
  const pool = new Pool({ size: 1, workerUrl });
  const file = read("learned_tiles.aez");
  const other: PackedModel = {
    id: "0".repeat(64),
    size: 4,
    packed: deflateRawSync(Buffer.alloc(4)).toString("base64"),
  };
  for (const [input, options, kind, code] of [
    [file.slice(0, -20), { model }, CorruptFile, 3],
    [file, { model: [other] }, ModelError, 4],
    [file, {}, ModelError, 4],
    [file, { model, scale: 3 }, InvalidArgument, 2],
    [file, { model, region: [0, 0, 1e6, 1] }, InvalidArgument, 2],
    ["no file", {}, InvalidArgument, 2],
  ] as const) {
    const expected = await decode(input as never, options as never).catch((error) => error);
    const found = await pool.decode(input as never, options as never).catch((error) => error);
    assert.ok(found instanceof kind, String(found));
    assert.equal(found.code, code);
    assert.equal(found.message, expected.message);
  }
  await assert.rejects(pool.decode(file, { model: () => Promise.reject(new Error("offline")) }), /offline/);
  assert.ok(await pool.decode(file, { model }));
  pool.close();
  await assert.rejects(pool.decode(file, { model }), InvalidArgument);
});

test("a model that is none is said in one sentence", async () => {
  const pool = new Pool({ size: 1, workerUrl });
  const given = "photo.mjs" as unknown as ArrayBuffer;
  const file = read("learned_tiles.aez");
  await assert.rejects(pool.decode(file, { model: given }), { name: "ModelError", code: 4 });
  assert.ok(await pool.decode(file, { model })); // the worker is free again
  pool.close();
});

test("options of the wrong kind, and streams that break, leave the workers free", async () => {
  const pool = new Pool({ size: 1, workerUrl });
  const file = read("learned_tiles.aez");
  const wrong = (options: object) => pool.decode(file, { model, ...options });
  await assert.rejects(pool.decode(file, null as never), { name: "InvalidArgument" });
  for (const options of [{ onTile: 5 }, { signal: "stop" }, { region: () => 1 }, { scale: Symbol("x") }]) {
    await assert.rejects(wrong(options), { name: "InvalidArgument", code: 2 });
  }
  const gone = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(file.subarray(0, 200)),
    pull: (controller) => controller.error(new Error("the line is gone")),
  });
  await assert.rejects(pool.decode(gone, { model, onTile: () => undefined }), /the line is gone/);
  const held = new Response(file);
  held.body?.getReader();
  await assert.rejects(pool.decode(held, { model }), /^InvalidArgument: the file has been read already/);
  assert.deepEqual((await pool.decode(file, { model })).data, whole.data);
  pool.close();
});

test("a signal ends a job, in the queue too", async () => {
  const pool = new Pool({ size: 1, workerUrl });
  const file = read("learned_tiles.aez");
  const ended = new AbortController();
  const jobs = [1, 2, 3].map(() => pool.decode(file, { model, signal: ended.signal }));
  const caught = jobs.map((job) => assert.rejects(job, /enough/));
  const last = pool.decode(file, { model });
  ended.abort(new Error("enough"));
  await Promise.all(caught);
  assert.ok(await last);
  pool.close();
});

test("where workers cannot begin the picture is made here", async () => {
  const pool = new Pool({ size: 2, workerUrl: pathToFileURL("/nowhere/thread.js") });
  const file = read("learned_tiles.aez");
  const found = await Promise.all([1, 2, 3].map(() => pool.decode(file, { model })));
  for (const picture of found) assert.deepEqual(picture.data, whole.data);
  pool.close();
});

test("bands are of whole tiles and cover a region once, turned too", async () => {
  const sizes = { width: 3000, height: 2000, tile: 512 };
  for (const region of [
    [0, 0, 3000, 2000],
    [104, 304, 2500, 1600],
    [8, 8, 700, 1990],
  ] as const) {
    for (const scale of [4, 8]) {
      for (let orientation = 1; orientation < 9; orientation++) {
        const header = { ...sizes, orientation } as never;
        const parts = bands(header, region, 3);
        assert.ok(parts.length > 1 && parts.length <= 3);
        const across = (length: number) => Math.ceil(length / scale);
        const turned = orientation > 4;
        const [wide, high] = turned ? [across(region[3]), across(region[2])] : [across(region[2]), across(region[3])];
        const seen = new Uint8Array(wide * high);
        for (const part of parts) {
          const [x, y] = placeOf(header, region, part, scale, false);
          const [w, h] = turned ? [across(part[3]), across(part[2])] : [across(part[2]), across(part[3])];
          for (let row = y; row < y + h; row++)
            seen.fill(1 + (seen[row * wide + x] as number), row * wide + x, row * wide + x + w);
        }
        assert.ok(seen.every((count) => count === 1));
      }
    }
  }
});
