// A model bundle, `.aezm`, or its decoding half: every member has the hash that the manifest lists, and the manifest
// the id by which files call it.
import { hex } from "../container/header.js";
import { ModelError } from "../errors.js";
import type { Kernels } from "../network/kernels.js";
import { unzip } from "./archive.js";
import { type Json, type JsonObject, parseJson } from "./json.js";
import { parseNpy } from "./npy.js";

const FORMAT = 1;
export const CODEC = "image-codec";
const MEMBER_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(onnx|npy)$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** What is needed where a bundle has another task. */
const USES: Record<string, string> = {
  [CODEC]: "one for coding pictures",
  detector: "a detector of series",
  autoencoder: "an autoencoder",
};

/** SHA-256 of bytes, in hex digits. */
export type Hash = (bytes: Uint8Array) => string;

interface Manifest extends JsonObject {
  name: string;
  coding: JsonObject & { decoder_members: string[] };
  members: { [name: string]: { sha256: string; bytes: number } };
}

/** A bundle as a module has it: the bytes of the bundle deflated, in base64. */
export interface PackedModel {
  id: string;
  size: number;
  packed: string;
}

/** An opened bundle; `id` is 64 hex digits. */
export class Bundle {
  readonly id: string;
  readonly name: string;
  readonly family: string;
  readonly coding: JsonObject;
  readonly #members: Map<string, Uint8Array>;

  /**
   * `hash` is SHA-256 in hex digits, or the kernels that have it; `task` what the model has to be for, null
   * anything; of a `half` what only decoding needs may be absent. Throws ModelError.
   */
  constructor(hash: Kernels | Hash, data: Uint8Array, task: string | null = CODEC, half = false) {
    const sha256 = typeof hash === "function" ? hash : (bytes: Uint8Array) => hashed(hash, bytes);
    const members = unzip(data);
    const { value, spelled } = parseJson(members.get("manifest.json") ?? new Uint8Array());
    const manifest = check(value, task);
    members.delete("manifest.json");
    for (const name of manifest.coding.decoder_members) {
      if (!half && !members.has(name)) throw new ModelError(`the bundle's member ${name} is missing`);
    }
    for (const [name, bytes] of members) {
      const listed = manifest.members[name];
      if (!listed || listed.bytes !== bytes.length || listed.sha256 !== sha256(bytes)) {
        throw new ModelError(`the bundle's member ${name} is damaged: the hash is not the one in the manifest`);
      }
    }
    this.#members = members;
    this.name = manifest.name;
    this.family = String(manifest.family ?? "");
    this.coding = manifest.coding;
    this.id = idOf(sha256, manifest, spelled.get(manifest.coding) ?? "");
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  graph(name: string): Uint8Array {
    return this.#member(`${name}.onnx`);
  }

  array(name: string, type: string): ReturnType<typeof parseNpy> {
    return parseNpy(this.#member(`${name}.npy`), name, type);
  }

  #member(name: string): Uint8Array {
    const found = this.#members.get(name);
    if (!found) throw new ModelError(`model ${this.name} (${this.id.slice(0, 16)}): ${name} is not in it`);
    return found;
  }
}

function check(manifest: Json, wanted: string | null): Manifest {
  const { format, name, task, coding, members } = isObject(manifest) ? manifest : {};
  if (format !== FORMAT) throw new ModelError(`the bundle has format ${format}, and this aez reads format ${FORMAT}`);
  if (typeof name !== "string" || !isObject(coding) || !isObject(members) || !isTextList(coding.decoder_members)) {
    throw new ModelError("the bundle's manifest lacks what every bundle needs");
  }
  if (wanted !== null && task !== wanted)
    throw new ModelError(`model ${name} is made for ${task}, and ${USES[wanted]} is needed`);
  for (const [member, entry] of Object.entries(members)) {
    const sound = isObject(entry) && SHA256.test(String(entry.sha256)) && Number.isInteger(entry.bytes);
    if (!sound || !MEMBER_NAME.test(member))
      throw new ModelError(`the bundle's manifest lists ${member} without a hash`);
  }
  return manifest as Manifest;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTextList(value: Json | undefined): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

/** sha256 over the members' hashes and `coding`, spelled in the one way. */
function idOf(sha256: Hash, manifest: Manifest, coding: string): string {
  const names = Object.keys(manifest.members).sort();
  const lines = names.map((name) => `${name}\0${manifest.members[name]?.sha256}\n`);
  return sha256(new TextEncoder().encode(lines.join("") + coding));
}

function hashed(kernels: Kernels, bytes: Uint8Array): string {
  return kernels.within(() => {
    const out = kernels.take(32);
    kernels.run.sha256(out, kernels.put(bytes), bytes.length);
    return hex(kernels.bytes(out, 32));
  });
}
