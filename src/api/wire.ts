import { Code, ConnectError } from "@connectrpc/connect"
import { Failure, type FailureKind, reasonOf } from "./failure.ts"
import { ErrorInfoSchema } from "./generated/heddle/agent/v1/agent_pb.ts"

const codes: Readonly<Record<FailureKind, Code>> = {
  failed: Code.FailedPrecondition,
  usage: Code.InvalidArgument,
  unreachable: Code.Unavailable,
  timeout: Code.DeadlineExceeded,
  notFound: Code.NotFound,
}

/** A failure as it goes over the wire; what is not a `Failure` becomes an internal error with its message. */
export function toWire(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error
  if (!(error instanceof Failure)) return new ConnectError(reasonOf(error), Code.Internal)
  const detail = { desc: ErrorInfoSchema, value: { why: error.why, hint: error.hint } }
  return new ConnectError(error.message, codes[error.kind], undefined, [detail])
}

/** The same failure on the client's side. `socket` names the agent in "cannot reach" errors. */
export function fromWire(error: unknown, socket: string): Failure {
  if (error instanceof Failure) return error
  const wire = ConnectError.from(error)
  const system = systemCode(wire)
  if (system !== undefined) return unreachable(socket, system, wire)
  const info = wire.findDetails(ErrorInfoSchema)[0]
  const what = wire.rawMessage
  switch (wire.code) {
    case Code.Unavailable:
      return info === undefined
        ? unreachable(socket, wire.rawMessage, wire)
        : new Failure("unreachable", what, info.why, info.hint, { cause: wire })
    case Code.DeadlineExceeded:
      return info === undefined
        ? new Failure(
            "timeout",
            `Cannot get an answer from the agent at ${socket}`,
            "it took the connection but did not answer in time",
            "heddle status --timeout 60, or look at the agent's log",
            { cause: wire },
          )
        : new Failure("timeout", what, info.why, info.hint, { cause: wire })
    case Code.InvalidArgument:
      return new Failure("usage", what, info?.why, info?.hint, { cause: wire })
    case Code.NotFound:
      return new Failure("notFound", what, info?.why, info?.hint, { cause: wire })
    case Code.Unimplemented:
      return new Failure(
        "failed",
        `Cannot ask the agent at ${socket} this`,
        "it does not know the question: the agent is older than this command",
        "restart the agent with this version; heddle version shows both",
        { cause: wire },
      )
    default:
      return new Failure("failed", what, info?.why, info?.hint, { cause: wire })
  }
}

const meanings: Readonly<Record<string, readonly [why: string, hint: string]>> = {
  ENOENT: [
    "no socket is there: the agent is not running",
    "heddle lab up, heddle agent, or name the socket by --socket",
  ],
  ECONNREFUSED: ["nothing listens on it: the agent has stopped", "start the agent again; what was enforced still is"],
  EACCES: ["permission denied", "run the command as root"],
  ENOTSOCK: ["it is not a socket", "name the agent's socket by --socket"],
  ECONNRESET: ["the agent closed the connection", "see whether the agent is still running: heddle status"],
}

function unreachable(socket: string, code: string, cause: unknown): Failure {
  const [why, hint] = meanings[code] ?? [code, "see whether the agent is running: heddle status"]
  return new Failure("unreachable", `Cannot reach the agent at ${socket}`, why, hint, { cause })
}

/** The errno name behind a connection error, looked for along the causes. */
function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code: unknown = Reflect.get(at, "code")
    if (typeof code === "string" && code in meanings) return code
  }
  return undefined
}
