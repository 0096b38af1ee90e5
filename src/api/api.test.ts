import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { request, ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { AgentClient } from "./client.ts"
import { Failure } from "./failure.ts"
import { type ApiServer, serve } from "./server.ts"

let directory: string
let server: ApiServer | undefined

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "heddle-api-"))
})
afterEach(async () => {
  await server?.close()
  server = undefined
  rmSync(directory, { recursive: true, force: true })
})

async function failure(promise: Promise<unknown>): Promise<Failure> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Failure)) throw new Error(`wanted a Failure, got ${String(error)}`)
  return error
}

/** A service of which only the methods given are there. */
function service(methods: Partial<Parameters<typeof serve>[1]>): Parameters<typeof serve>[1] {
  return methods as Parameters<typeof serve>[1]
}

test("a call goes over the socket and comes back", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(socket, service({ status: () => ({ node: "node-1", flowsLive: 7n }) }))
  const answer = await new AgentClient(socket).call("status", {})
  expect(answer.node).toBe("node-1")
  expect(answer.flowsLive).toBe(7n)
})

test("a failure keeps its three parts", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(
    socket,
    service({
      showPolicy: () => {
        throw new Failure("notFound", "Cannot show policies of a/b", "no such pod", "heddle endpoint list")
      },
    }),
  )
  const error = await failure(new AgentClient(socket).call("showPolicy", { namespace: "a", name: "b" }))
  expect([error.kind, error.message, error.why, error.hint]).toEqual([
    "notFound",
    "Cannot show policies of a/b",
    "no such pod",
    "heddle endpoint list",
  ])
})

test("a socket that is not there, or that nobody listens on, says so", async () => {
  const missing = await failure(new AgentClient(join(directory, "none.sock")).call("status", {}))
  expect(missing.kind).toBe("unreachable")
  expect(missing.message).toContain("none.sock")
  expect(missing.why).toContain("not running")
  writeFileSync(join(directory, "file.sock"), "")
  const dead = await failure(new AgentClient(join(directory, "file.sock")).call("status", {}))
  expect(dead.kind).toBe("unreachable")
})

test("an agent that does not answer is a time-out", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(socket, service({ status: () => new Promise<never>(() => {}) }))
  const error = await failure(new AgentClient(socket, { timeoutMs: 100 }).call("status", {}))
  expect(error.kind).toBe("timeout")
})

test("a stream of flows arrives in order and ends when the reader goes", async () => {
  const socket = join(directory, "agent.sock")
  let ended = false
  server = await serve(
    socket,
    service({
      async *observe(_request, context) {
        try {
          yield { response: { case: "flow", value: { node: "a" } } }
          yield { response: { case: "caughtUp", value: true } }
          await new Promise((resolve) => context.signal.addEventListener("abort", resolve))
        } finally {
          ended = true
        }
      },
    }),
  )
  const stop = new AbortController()
  const seen: (string | undefined)[] = []
  for await (const answer of new AgentClient(socket).observe({ follow: true }, stop.signal)) {
    seen.push(answer.response.case)
    if (answer.response.case === "caughtUp") stop.abort()
  }
  expect(seen).toEqual(["flow", "caughtUp"])
  await expect.poll(() => ended).toBe(true)
})

/** What the server answers to a request written by hand. */
function post(
  socket: string,
  method: string,
  type: string,
  body: string | Uint8Array,
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": type, "connect-protocol-version": "1" }
    const path = `/heddle.agent.v1.Agent/${method}`
    const call = request({ socketPath: socket, path, method: "POST", headers }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part
      })
      response.on("end", () => resolve({ status: response.statusCode, text }))
    })
    call.once("error", reject).end(body)
  })
}

test("a call in JSON, as with curl, is answered too", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(socket, service({ status: () => ({ node: "node-1" }) }))
  expect(await post(socket, "Status", "application/json", "{}")).toMatchObject({
    status: 200,
    text: expect.stringMatching(/^\{"node":"node-1"/),
  })
})

test("a request that is no message is refused as such, and a method that is not there too", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(socket, service({ status: () => ({ node: "node-1" }) }))
  const broken = Uint8Array.of(0xff, 0xff, 0xff, 0xff)
  expect(await post(socket, "Apply", "application/proto", broken)).toMatchObject({
    status: 400,
    text: expect.stringContaining('"invalid_argument"'),
  })
  expect(await post(socket, "Nothing", "application/proto", "")).toMatchObject({ status: 404 })
})

test("a request in many pieces arrives whole", async () => {
  const socket = join(directory, "agent.sock")
  server = await serve(socket, service({ apply: ({ manifests }) => ({ digest: String(manifests[0]?.text.length) }) }))
  const text = "x".repeat(3_000_000)
  const { digest } = await new AgentClient(socket).call("apply", { manifests: [{ file: "a.yaml", text }] })
  expect(digest).toBe("3000000")
})

test("what a call has set off goes on before it is answered", async () => {
  const socket = join(directory, "agent.sock")
  let steps = 0
  const commit = async (): Promise<void> => {
    while (steps < 1_000) {
      await Promise.resolve()
      steps++
    }
  }
  const write = vi.spyOn(ServerResponse.prototype, "end").mockImplementation(function (this: ServerResponse, body) {
    steps -= 1_000
    write.mockRestore()
    return this.end(body)
  })
  server = await serve(
    socket,
    service({
      apply: () => {
        void commit()
        return { digest: "x" }
      },
    }),
  )
  await new AgentClient(socket).call("apply", {})
  expect(steps).toBe(0)
})

test("a caller whose time is up hangs up, and the agent notices", async () => {
  const socket = join(directory, "agent.sock")
  const noticed = Promise.withResolvers<void>()
  server = await serve(
    socket,
    service({
      await: (_request, { signal }) => {
        signal.addEventListener("abort", () => noticed.resolve())
        return new Promise(() => {})
      },
    }),
  )
  const error = await failure(new AgentClient(socket, { timeoutMs: 50 }).call("await", { digest: "x" }))
  expect(error.kind).toBe("timeout")
  await noticed.promise
})
