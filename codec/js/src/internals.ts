// What other entries of this package share with the first one; no part of what is kept from version to version.
export { Bundle } from "./bundle/bundle.js";
export { isPacked, unpackModel } from "./bundle/package.js";
export { crc32 } from "./container/crc32.js";
export { FieldError, Fields, reading, uint32, varintBytes } from "./container/fields.js";
export { NAMES, Reader } from "./container/reader.js";
export { bytesOf, openSource } from "./container/source.js";
export { readTables } from "./entropy/tables.js";
export { withKernels } from "./image/decode.js";
export { ImageModel } from "./image/model.js";
export { checkOptions } from "./image/options.js";
export { pictureOf } from "./image/picture.js";
export { provideRest } from "./image/rest.js";
export { Kernels } from "./network/kernels.js";
