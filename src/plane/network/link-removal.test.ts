import { expect, test } from "vitest"
import type { Step } from "../../kernel/netlink/steps.ts"
import { LinkRemoval } from "./link-removal.ts"

/** A worker that notes what it is asked to do and ends when it is told to. */
function worker() {
  const asked: string[][] = []
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = []
  const take = (rows: readonly Step[]) => {
    asked.push(rows.flatMap((row) => ("requests" in row ? row.requests.map((one) => one.operation) : [])))
    const { promise, resolve, reject } = Promise.withResolvers<never[][]>()
    ends.push({ resolve: () => resolve([]), reject })
    return promise
  }
  return { asked, ends, steps: { take } }
}

const namespace = { fd: 3, path: "/node", close: () => undefined }
const settled = () => new Promise((resolve) => setImmediate(resolve))

test("what is asked for while one deletion is under way goes together in the next, as one group", async () => {
  const { asked, ends, steps } = worker()
  const removal = new LinkRemoval(namespace, steps)
  const gone: string[] = []
  const remove = (name: string) => removal.delete(name).then(() => gone.push(name))
  const first = remove("hd1")
  await settled()
  const others = [remove("hd2"), remove("hd3"), remove("hd2"), removal.deleteAll([7]).then(() => gone.push("7"))]
  await settled()
  expect(asked).toEqual([["delete the link hd1"]])
  ends[0]?.resolve()
  await first
  await settled()
  expect(gone).toEqual(["hd1"])
  expect(asked.slice(1)).toEqual([
    [
      ...["hd2", "hd3", "7"].map((link) => `change the group of the link ${link}`),
      "delete the links of group 1751475300",
    ],
  ])
  ends[1]?.resolve()
  await Promise.all(others)
  expect(gone).toEqual(["hd1", "hd2", "hd3", "hd2", "7"])
  expect(await removal.deleteAll([])).toBeUndefined()
  expect(asked).toHaveLength(2)
})

test("a deletion that fails is the failure of who asked for it, and the next is tried all the same", async () => {
  const { asked, ends, steps } = worker()
  const removal = new LinkRemoval(namespace, steps)
  const first = removal.delete("hd1")
  await settled()
  const second = removal.delete("hd2")
  ends[0]?.reject(new Error("Cannot delete"))
  await expect(first).rejects.toThrow("Cannot delete")
  await settled()
  expect(asked).toEqual([["delete the link hd1"], ["delete the link hd2"]])
  ends[1]?.resolve()
  await second
})
