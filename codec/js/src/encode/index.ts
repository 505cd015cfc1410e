// Encodes pictures to `.aez`: tiles of a model, as aez in Python makes them of photographs.
export { type EncodeOptions, encode, type Pixels } from "./encode.js";
