/** What the kernel answered, as `native/` reports it. */
export interface KernelFailure {
  /** What was tried, as the end of a sentence that begins with "Cannot": `create the map addrs`. */
  readonly operation: string
  /** Name of the errno, e.g. `EPERM`. */
  readonly code: string
  readonly errno: number
  /** strerror(3) of the errno, or the kernel's own words (netlink's extended acknowledgement). */
  readonly text: string
  /** End of the verifier's and libbpf's log, when a program or map was loaded. */
  readonly log?: string | undefined
}

const hints: Readonly<Record<string, string>> = {
  EPERM: "run as root, or with CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN",
  EACCES: "the log below says why the verifier refused; without a log, run as root",
  ENOSPC: "the table is full: raise its entries in the configuration",
  E2BIG: "the table is full: raise its entries in the configuration",
  ENOBUFS: "the socket's buffer was full: try again",
  EOPNOTSUPP: "`heddle doctor` says which of the features wanted this kernel has",
  ENOENT: "see whether it was removed meanwhile",
  ENODEV: "see whether the interface was removed meanwhile",
}

/** A refusal by the kernel: says what could not be done, why (errno's name and text), and what to try. */
export class KernelError extends Error {
  /** Name of the errno, e.g. `EPERM`. */
  readonly code: string
  readonly errno: number
  readonly operation: string
  /** End of the verifier's log (some 4 KB), for a load. */
  readonly log?: string

  constructor(failure: KernelFailure) {
    const hint = hints[failure.code]
    const log = failure.log ? `\n${failure.log}` : ""
    super(`Cannot ${failure.operation}: ${failure.text} (${failure.code})${hint ? `; ${hint}` : ""}${log}`)
    this.name = "KernelError"
    this.code = failure.code
    this.errno = failure.errno
    this.operation = failure.operation
    if (failure.log) this.log = failure.log
  }
}

/** Whether `error` is a refusal by the kernel with one of these errno names. */
export function isKernelError(error: unknown, ...codes: readonly string[]): error is KernelError {
  return error instanceof KernelError && (codes.length === 0 || codes.includes(error.code))
}
