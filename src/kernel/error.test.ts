import { expect, test } from "vitest"
import { isKernelError, KernelError } from "./error.ts"
import { commandLine } from "./process.ts"

test("the message says what, why, and what to try; the log follows", () => {
  const failure = { operation: "load x", code: "EPERM", errno: 1, text: "Operation not permitted" }
  const error = new KernelError({ ...failure, log: "R1 invalid mem access" })
  expect(error.message).toBe(
    "Cannot load x: Operation not permitted (EPERM); run as root, or with CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN\nR1 invalid mem access",
  )
  expect(error).toMatchObject({ code: "EPERM", errno: 1, operation: "load x", log: "R1 invalid mem access" })
  expect(isKernelError(error, "EACCES", "EPERM")).toBe(true)
  expect(isKernelError(error, "EACCES")).toBe(false)
  expect(isKernelError(new Error("EPERM"))).toBe(false)
})

test("a command enters a namespace by nsenter, which mounts nothing", () => {
  expect(commandLine(["ping", "-c1", "a"])).toEqual(["ping", "-c1", "a"])
  expect(commandLine(["ping"], "/x/ns")).toEqual(["nsenter", "--net=/x/ns", "--", "ping"])
  expect(() => commandLine([])).toThrow(/name a program/)
})
