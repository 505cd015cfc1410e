// Builds dist/ and the viewer: the kernels, then one file for each entry. `node scripts/build.mjs [dist [viewer]]`
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

// What package.json exports and what those share, each by its file in dist/ and its source.
const entries = {
  aez: "index.ts",
  rest: "rest/index.ts",
  series: "series/index.ts",
  latent: "latent/index.ts",
  encode: "encode/index.ts",
  worker: "worker/index.ts",
  thread: "worker/thread.ts",
  element: "element/index.ts",
  polyfill: "polyfill/index.ts",
  page: "page/index.ts",
  onnxruntime: "onnxruntime/index.ts",
};

/** Bytes of the main entry, compressed by gzip -9. */
const LIMIT = 25000;
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const out = process.argv[2] ?? join(home, "dist");
const viewer = process.argv[3] ?? join(home, "viewer");
execFileSync(join(home, "scripts", "kernels.sh"), { stdio: "inherit" });
// Text survives every bundler, every server's content types and every policy on fetching.
for (const name of ["learned", "exact"]) {
  const wasm = deflateSync(readFileSync(join(home, "build", `${name}.wasm`)), { level: 9 });
  writeFileSync(join(home, "build", `${name}.packed.js`), `export default "${wasm.toString("base64")}";\n`);
  writeFileSync(join(home, "build", `${name}.packed.d.ts`), "declare const wasm: string;\nexport default wasm;\n");
}

const sources = pathsOf(entries);
/** Entries import one another as files, so that nothing is loaded twice. */
const entriesFrom = (folder) => ({
  name: "entries",
  setup({ onResolve }) {
    onResolve({ filter: /^\..*\.js$/ }, ({ path, resolveDir, kind }) => {
      const source = join(resolveDir, path).replace(/\.js$/, ".ts");
      const found = Object.keys(sources).find((name) => sources[name] === source);
      return found && kind !== "entry-point" ? { path: `${folder}/${found}.js`, external: true } : undefined;
    });
  },
});
await bundle(sources, out, ".");
checkSize(join(out, "aez.js"));
await bundle(pathsOf({ viewer: "viewer/index.ts", encoding: "viewer/encoding.ts" }), viewer, "../dist");
// The service worker keeps all files of the page, and takes others once one of them has changed.
const still = readdirSync(join(home, "viewer")).filter((name) => !name.endsWith(".js"));
const kept = [
  ...still.map((name) => [`./${name}`, join(home, "viewer", name)]),
  ...["viewer.js", "encoding.js"].map((name) => [`./${name}`, join(viewer, name)]),
  ...["aez.js", "rest.js", "encode.js", "page.js", "worker.js", "thread.js"].map((name) => [
    `../dist/${name}`,
    join(out, name),
  ]),
];
const hash = createHash("sha256");
for (const [, file] of kept) hash.update(readFileSync(file));
await bundle(pathsOf({ "service-worker": "viewer/service-worker.ts" }), viewer, "../dist", {
  VERSION: JSON.stringify(hash.digest("hex").slice(0, 16)),
  FILES: JSON.stringify(kept.map(([name]) => name)),
});

/** What every page with a picture loads is held to its size. */
function checkSize(file) {
  const bytes = gzipSync(readFileSync(file), { level: 9 }).length;
  if (bytes > LIMIT) throw new Error(`${file} has ${bytes} bytes compressed, more than ${LIMIT}`);
  console.log(`${file}: ${bytes} bytes compressed (gzip -9)`);
}

function pathsOf(files) {
  return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(home, "src", file)]));
}

async function bundle(entryPoints, folder, others, define = {}) {
  const built = await build({
    entryPoints,
    outdir: folder,
    plugins: [entriesFrom(others)],
    bundle: true,
    minifySyntax: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    define,
    write: false,
  });
  mkdirSync(folder, { recursive: true });
  const unsafe = { unsafe: true, unsafe_arrows: true, unsafe_methods: true, unsafe_proto: true }; // none of numbers
  const order = { hoist_funs: true, inline: 1, lhs_constants: false }; // what compresses best
  const compress = { passes: 3, keep_fargs: false, pure_getters: true, ...order, ...unsafe };
  const format = { comments: /webpackIgnore|@vite-ignore/ };
  for (const { path, text } of built.outputFiles) {
    const { code } = await minify(text, { module: true, ecma: 2020, compress, format });
    writeFileSync(path, `${code}\n`);
  }
}
