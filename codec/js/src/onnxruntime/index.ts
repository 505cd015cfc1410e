// ONNX Runtime behind this package: for models that its own operators do not run, and for graphics processors.

export { AezError, InvalidArgument, ModelError, UnsupportedInput } from "../index.js";
export { PictureDetector, type PictureScore, type Pixels } from "./pictures.js";
export { type Graph, type Numbers, OnnxRuntime, type Ort } from "./runtime.js";
