/** Error codes of the CNI spec 1.1.0, section "Error"; from 100 on they are Heddle's own. */
export const CniCode = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfiguration: 7,
  tryAgain: 11,
  /** STATUS: ADD cannot be served. */
  unavailable: 50,
  /** STATUS: ADD cannot be served, and pods that are there may have limited connectivity. */
  limited: 51,
  internal: 100,
  /** A stated address is taken, or no address is left. */
  address: 101,
  /** The interface cannot be made as asked, e.g. its name is taken in the pod. */
  interface: 102,
  /** CHECK found something other than what ADD made. */
  mismatch: 103,
} as const

export type CniCodeNumber = (typeof CniCode)[keyof typeof CniCode]

/** A failure that a container runtime can read. */
export class CniError extends Error {
  override readonly name = "CniError"
  readonly code: CniCodeNumber
  /** What to try, or the long form of why. */
  readonly details: string

  constructor(code: CniCodeNumber, message: string, details = "", options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.details = details
  }

  /**
   * Any failure as one of the spec. An error of the network floor carries a word as `code` (the keys of `CniCode`); of
   * everything else the kind is unknown, and so is whether a second try would help: `internal`.
   */
  static from(error: unknown): CniError {
    if (error instanceof CniError) return error
    const message = error instanceof Error ? error.message : String(error)
    const word = property(error, "code")
    const details = property(error, "details")
    const code = word !== undefined && Object.hasOwn(CniCode, word) ? CniCode[word as keyof typeof CniCode] : undefined
    return new CniError(code ?? CniCode.internal, message, details ?? "", { cause: error })
  }

  /** The error object that goes to standard output. */
  toResult(cniVersion: string): string {
    const details = this.details === "" ? {} : { details: this.details }
    return `${JSON.stringify({ cniVersion, code: this.code, msg: this.message, ...details })}\n`
  }
}

function property(value: unknown, key: string): string | undefined {
  if (typeof value !== "object" || value === null) return undefined
  const found: unknown = Reflect.get(value, key)
  return typeof found === "string" ? found : undefined
}
