/**
 * What kind of failure, in the words of the CNI answer: `tryAgain` is transient, `address` an address that is taken or not
 * to be had, `interface` a link that cannot be made as asked, `mismatch` something that is not as it was made,
 * `unknownContainer` a sandbox that is not (or no longer) there, `unavailable` a node that cannot take pods.
 */
export type NetworkErrorCode =
  | "tryAgain"
  | "address"
  | "interface"
  | "mismatch"
  | "unknownContainer"
  | "invalidEnvironment"
  | "invalidConfiguration"
  | "unavailable"

/** A failure of the node's network: what could not be done and why; `details` says what to try. */
export class NetworkError extends Error {
  override readonly name = "NetworkError"
  readonly code: NetworkErrorCode
  readonly details: string

  constructor(code: NetworkErrorCode, message: string, details: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.details = details
  }
}
