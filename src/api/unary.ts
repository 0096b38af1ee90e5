import type { IncomingMessage, RequestListener, ServerResponse } from "node:http"
import { setImmediate } from "node:timers/promises"
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { Code, ConnectError, createHandlerContext, type HandlerContext, type ServiceImpl } from "@connectrpc/connect"
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect"
import { reasonOf } from "./failure.ts"
import { Agent } from "./generated/heddle/agent/v1/agent_pb.ts"
import { toWire } from "./wire.ts"

export type AgentService = ServiceImpl<typeof Agent>

const PROTOBUF = "application/proto"

type Method = (typeof Agent)["methods"][number] & { readonly methodKind: "unary" }
type Implementation = (request: unknown, context: HandlerContext) => unknown

/**
 * Answers calls as our own client makes them: Connect's unary protocol (https://connectrpc.com/docs/protocol#unary-request) with
 * protobuf bodies, not compressed. All others go on to `otherwise`. Connect's own handlers, made for every protocol and every kind
 * of HTTP, take twice the CPU time for the same, and a change is two calls.
 */
export function unaryCalls(service: AgentService, otherwise: RequestListener): RequestListener {
  const methods = new Map<string, Method>(
    Agent.methods.filter(isUnary).map((method) => [`/${Agent.typeName}/${method.name}`, method]),
  )
  return (request, response) => {
    const method = request.method === "POST" ? methods.get(request.url ?? "") : undefined
    const { "content-type": type, "content-encoding": encoding = "identity" } = request.headers
    if (method === undefined || type !== PROTOBUF || encoding !== "identity") otherwise(request, response)
    else void answer(service, method, request, response)
  }
}

function isUnary(method: (typeof Agent)["methods"][number]): method is Method {
  return method.methodKind === "unary"
}

async function answer(
  service: AgentService,
  method: Method,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // A caller whose time is up hangs up.
  const gone = new AbortController()
  response.once("close", () => {
    if (!response.writableFinished) gone.abort()
  })
  const context = createHandlerContext({
    ...{ service: Agent, method, protocolName: "connect", requestMethod: "POST", url: request.url ?? "" },
    requestSignal: gone.signal,
  })
  try {
    const input = decoded(method, await bodyOf(request))
    // The method's name ties its message and its implementation together.
    const implementation = service[method.localName as keyof AgentService] as Implementation
    const output = (await implementation(input, context)) as MessageInitShape<DescMessage>
    // What the call has set off, such as a commit, goes on before the answer is written, which takes as long as a commit does.
    await setImmediate()
    send(response, 200, PROTOBUF, toBinary(method.output as DescMessage, create(method.output as DescMessage, output)))
  } catch (error) {
    const wire = toWire(error)
    send(response, codeToHttpStatus(wire.code), "application/json", errorToJsonBytes(wire, undefined))
  }
}

function decoded(method: Method, body: Uint8Array): unknown {
  try {
    return fromBinary(method.input as DescMessage, body)
  } catch (cause) {
    throw new ConnectError(
      `Cannot read the request: ${reasonOf(cause)}`,
      Code.InvalidArgument,
      undefined,
      undefined,
      cause,
    )
  }
}

function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.once("end", () => resolve(parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)))
    request.once("error", reject)
  })
}

function send(response: ServerResponse, status: number, type: string, body: Uint8Array): void {
  response.writeHead(status, { "content-type": type, "content-length": body.length })
  response.end(body)
}
