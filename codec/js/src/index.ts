// Decodes `.aez` pictures: without ONNX Runtime, without dependencies.

export type { PackedModel } from "./bundle/bundle.js";
export type { Header, Mode } from "./container/header.js";
export type { Input } from "./container/source.js";
export {
  AezError,
  CorruptFile,
  InvalidArgument,
  ModelError,
  TruncatedFile,
  UnsupportedInput,
  VersionError,
} from "./errors.js";
export { type DecodeOptions, decode, info, type Tile } from "./image/decode.js";
export type { Runtime } from "./image/model.js";
export type { Model, Models } from "./image/models.js";
export { type Metadata, Picture, toBitmap } from "./image/picture.js";
export { contents } from "./image/rest.js";
export * as internals from "./internals.js";
export type { ChunkInfo } from "./rest/contents.js";

import packed from "../build/learned.packed.js";
import { provideKernels } from "./image/decode.js";

provideKernels(packed);
