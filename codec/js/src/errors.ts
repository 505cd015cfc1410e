// The errors of aez, as the Python package and its command line have them.

/** Root of all errors that are raised on purpose. `code` is what the command line would end with. */
export class AezError extends Error {
  override readonly name: string = "AezError"; // as written, whatever a bundler makes of the class
  readonly code: number = 1;
}

/** The caller asked for something that does not exist or is out of range. */
export class InvalidArgument extends AezError {
  override readonly name: string = "InvalidArgument";
  override readonly code = 2;
}

/** The bytes of a file contradict themselves; `chunk` names the damaged part (empty: the whole file). */
export class CorruptFile extends AezError {
  override readonly name: string = "CorruptFile";
  override readonly code = 3;

  constructor(
    message: string,
    readonly chunk = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A file ends before its end mark. */
export class TruncatedFile extends CorruptFile {
  override readonly name: string = "TruncatedFile";
}

/** The file is sound, and needs a newer version than this one. */
export class VersionError extends AezError {
  override readonly name: string = "VersionError";
  override readonly code = 3;
}

/** A model is missing, damaged, or not the one that a file needs. */
export class ModelError extends AezError {
  override readonly name: string = "ModelError";
  override readonly code = 4;
}

/** The input is none of a kind that is handled here, or larger than is allowed. */
export class UnsupportedInput extends AezError {
  override readonly name: string = "UnsupportedInput";
  override readonly code = 5;
}
