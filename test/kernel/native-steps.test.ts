import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { KernelError } from "../../src/kernel/error.ts"
import { currentNamespacePath, inNamespace, type NamespaceHandle, namespaceInode } from "../../src/kernel/namespace.ts"
import {
  encodeLinkChange,
  encodeLinkQuery,
  encodeVeth,
  LinkMessage,
  linkHeader,
} from "../../src/kernel/netlink/link.ts"
import { Flag } from "../../src/kernel/netlink/message.ts"
import { Netlink } from "../../src/kernel/netlink/netlink.ts"
import type { Request } from "../../src/kernel/netlink/socket.ts"
import { KernelSteps } from "../../src/kernel/netlink/steps.ts"
import { getSysctl } from "../../src/kernel/sysctl.ts"
import { Ground } from "./native-fixture.ts"

const ground = new Ground()
const steps = new KernelSteps()
const ENODEV = 19
const EEXIST = 17
let a: NamespaceHandle
let b: NamespaceHandle

beforeAll(() => {
  a = ground.namespace("a")
  b = ground.namespace("b")
})

afterAll(() => ground.remove())

function addPair(name: string, peer: string): Request {
  return {
    operation: `add the link ${name}`,
    type: LinkMessage.new,
    flags: Flag.create | Flag.exclusive,
    payload: encodeVeth({ name, peer: { name: peer, namespace: b } }),
  }
}

const find = (name: string): Request => ({
  operation: `find the link ${name}`,
  type: LinkMessage.get,
  payload: encodeLinkQuery(name),
})
const list: Request = {
  operation: "list the links",
  type: LinkMessage.get,
  flags: Flag.dump,
  payload: encodeLinkQuery(),
}
const up = (index: number): Request => ({
  operation: `raise ${index}`,
  type: LinkMessage.new,
  payload: encodeLinkChange(index, { up: true }),
})

function links(namespace: NamespaceHandle): string[] {
  using netlink = Netlink.open(namespace)
  return netlink.links().map((link) => link.name)
}

async function failure(promise: Promise<unknown>): Promise<KernelError> {
  const error = await promise.catch((reason: unknown) => reason)
  if (error instanceof KernelError) return error
  throw error
}

describe("steps on a worker", () => {
  test("are taken in their namespaces in order, and each has its answers", async () => {
    const name = "net.ipv4.conf.v0.rp_filter"
    const answers = await steps.take([
      { namespace: a, requests: [addPair("v0", "w0"), find("v0")] },
      { namespace: a, settings: { [name]: 2, "net.ipv4.conf.v0.no_such_setting": 1 } },
      { namespace: b, requests: [list] },
      { namespace: b, settings: { "net.ipv4.conf.w0.forwarding": 1 } },
    ])
    expect(answers.map((messages) => messages.length)).toEqual([1, 0, links(b).length, 0])
    expect(links(a)).toContain("v0")
    expect(links(b)).toContain("w0")
    expect(inNamespace(a, () => getSysctl(name))).toBe("2")
    expect(inNamespace(b, () => getSysctl("net.ipv4.conf.w0.forwarding"))).toBe("1")
  })

  test("set each namespace's own settings, however often a row goes from one to another", async () => {
    const name = "net.ipv4.conf.lo.rp_filter"
    const set = (namespace: NamespaceHandle, value: number) => ({ namespace, settings: { [name]: value } })
    await steps.take([set(a, 1), set(b, 2), set(a, 0), set(b, 2)])
    expect([a, b].map((namespace) => inNamespace(namespace, () => getSysctl(name)))).toEqual(["0", "2"])
  })

  test("end with the first that fails, with the kernel's words; nothing after it is done", async () => {
    const error = await failure(
      steps.take([
        { namespace: a, requests: [find("nothing")] },
        { namespace: a, requests: [addPair("v1", "w1")] },
      ]),
    )
    expect(error).toMatchObject({ code: "ENODEV", operation: "find the link nothing" })
    expect(links(a)).not.toContain("v1")
    const bad = failure(steps.take([{ namespace: a, settings: { "net.ipv4.conf.lo.rp_filter": "x" } }]))
    expect((await bad).message).toContain("Cannot set net.ipv4.conf.lo.rp_filter to x")
    const unnamed = steps.take([{ namespace: a, settings: { "kernel.hostname": "x" } }])
    await expect(unnamed).rejects.toThrow("Cannot use the sysctl kernel.hostname")
    await steps.take([{ namespace: a, requests: [find("lo")] }])
    const closed = { fd: 9_999, path: "/nowhere", close: () => undefined }
    expect(await failure(steps.take([{ namespace: closed, requests: [list] }]))).toMatchObject({ code: "EBADF" })
  })

  test("may tolerate one refusal, and no other", async () => {
    await steps.take([
      { namespace: a, requests: [addPair("v2", "w2")] },
      { namespace: a, requests: [addPair("v2", "w2")], tolerate: EEXIST },
      { namespace: a, requests: [addPair("v3", "w3")] },
    ])
    expect(links(a)).toContain("v3")
    const other = steps.take([{ namespace: a, requests: [addPair("v2", "w2")], tolerate: ENODEV }])
    expect(await failure(other)).toMatchObject({ code: "EEXIST", operation: "add the link v2" })
  })

  test("of many that ask at once: a failure is only the failure of who asked", async () => {
    const names = Array.from({ length: 40 }, (_, i) => `m${i}`)
    const results = await Promise.allSettled(
      names.map((name, i) =>
        steps.take([
          { namespace: i % 2 ? a : b, requests: [i % 5 === 0 ? find("nothing") : find("lo")] },
          { namespace: a, requests: [addPair(name, `${name}p`)] },
          { namespace: a, requests: [{ ...find(name), operation: name }] },
        ]),
      ),
    )
    expect(results.map((result) => result.status)).toEqual(
      names.map((_, i) => (i % 5 === 0 ? "rejected" : "fulfilled")),
    )
    expect(names.filter((name) => links(a).includes(name))).toEqual(names.filter((_, i) => i % 5 !== 0))
    const deletions = names.map((name) => ({
      operation: `delete ${name}`,
      type: LinkMessage.delete,
      payload: linkHeader(indexOf(name)),
    }))
    await steps.take([{ namespace: a, requests: deletions.filter((_, i) => i % 5 !== 0) }])
  })

  test("leave neither this thread nor the workers elsewhere", async () => {
    const home = namespaceInode(currentNamespacePath)
    await Promise.all(Array.from({ length: 8 }, () => steps.take([{ namespace: b, requests: [up(1)] }])))
    expect(namespaceInode(currentNamespacePath)).toBe(home)
    const inodes = new Set<number>()
    const { readdirSync, statSync } = await import("node:fs")
    for (const task of readdirSync("/proc/self/task")) inodes.add(statSync(`/proc/self/task/${task}/ns/net`).ino)
    expect([...inodes]).toEqual([home])
  })
})

function indexOf(name: string): number {
  using netlink = Netlink.open(a)
  return netlink.link(name)?.index ?? 0
}
