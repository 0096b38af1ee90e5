import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterEach, beforeEach, expect, test } from "vitest"
import { encodeFrame, FRAME_LIMIT, FrameReader } from "./frame.ts"
import type { PodNetwork } from "./pod-network.ts"
import { CniServer } from "./server.ts"

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hd-cni-"))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

test("a frame is read whole however it is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(40)), (text, cuts) => {
      const frame = encodeFrame({ text })
      const reader = new FrameReader()
      let from = 0
      let got: string | undefined
      for (const cut of [...cuts, frame.length]) {
        const to = Math.min(frame.length, from + cut)
        if (to === from) continue
        got = reader.push(frame.subarray(from, to))
        expect(got === undefined).toBe(to < frame.length)
        from = to
      }
      expect(got).toBe(JSON.stringify({ text }))
    }),
  )
})

test("a frame beyond the limit is refused by its header", () => {
  const header = new Uint8Array(4)
  new DataView(header.buffer).setUint32(0, FRAME_LIMIT + 1)
  expect(() => new FrameReader().push(header)).toThrow(RangeError)
})

test("requests are answered side by side, each on its own connection", async () => {
  const release: (() => void)[] = []
  const network: PodNetwork = {
    add: () => Promise.reject(new Error("not asked")),
    del: () => new Promise((resolve) => release.push(resolve)),
    check: async () => {},
    gc: async () => {},
    status: async () => {},
  }
  const path = join(directory, "cni.sock")
  writeFileSync(path, "left by a dead agent")
  const server = await CniServer.listen(path, network)
  expect(statSync(path).mode & 0o777).toBe(0o600)

  const slow = ask(path, "DEL")
  await expect.poll(() => release.length).toBe(1)
  expect(await ask(path, "STATUS")).toEqual({ exit: 0, stdout: "" })
  release[0]?.()
  expect(await slow).toEqual({ exit: 0, stdout: "" })
  await server.close()
  expect(() => statSync(path)).toThrow("ENOENT")
})

function ask(path: string, command: string): Promise<unknown> {
  const config = JSON.stringify({ cniVersion: "1.1.0", name: "pods", type: "heddle-cni" })
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: "c1", CNI_IFNAME: "eth0" }
  return new Promise((resolve, reject) => {
    const reader = new FrameReader()
    const socket = connect(path, () => socket.write(encodeFrame({ env, config })))
    socket.on("error", reject)
    socket.on("data", (chunk) => {
      const text = reader.push(chunk)
      if (text !== undefined) resolve(JSON.parse(text))
    })
  })
}
