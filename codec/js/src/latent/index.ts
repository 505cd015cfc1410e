// Autoencoders with small codes, decoded where they are looked at: without ONNX Runtime, without dependencies.

export type { PackedModel } from "../bundle/bundle.js";
export type { Input } from "../container/source.js";
export { AezError, InvalidArgument, ModelError } from "../errors.js";
export { Autoencoder } from "./autoencoder.js";
