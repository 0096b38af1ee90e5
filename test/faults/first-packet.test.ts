import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { createNamespace, deleteNamespace, openNamespace } from "../../src/kernel/namespace.ts"
import { openSocket, type Socket } from "../../src/kernel/socket.ts"
import { cniAdd, cniDel, type Sandbox } from "../../src/lab/cni.ts"
import { replaceFile } from "../../src/lab/record.ts"
import { FaultyLab } from "./faulty-lab.ts"

const NODE = "node-1"
const PORT = 9
/** Pods that come and go, each sending its first datagram at once. */
const PODS = 200
const pod = (name: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${name} } }
spec: { nodeName: ${NODE}, containers: [{ name: c, image: x }] }
---`

let lab: FaultyLab
let door: Socket

beforeAll(async () => {
  lab = await FaultyLab.up("first", pod("door"), 1)
  const namespace = openNamespace(lab.netns("door"))
  door = openSocket({ namespace, family: 4, type: "dgram" })
  namespace.close()
  door.bind(lab.address("door"), PORT)
  replaceFile(join(lab.paths.objects, "Pod_default_guest.yaml"), pod("guest"), true)
  await lab.kill(NODE)
  await lab.start(NODE)
})
afterAll(async () => {
  door?.close()
  await lab?.down()
})

/** Whether the very first datagram of a pod arrives within a third of a second. */
async function firstArrives(guest: Sandbox, number: number): Promise<boolean> {
  const namespace = openNamespace(guest.netns)
  const sender = openSocket({ namespace, family: 4, type: "dgram" })
  const buffer = new Uint8Array(64)
  try {
    sender.sendTo(Buffer.from(String(number)), lab.address("door"), PORT)
    for (let waited = 0; waited < 300; waited++) {
      for (let got = door.receive(buffer); got !== undefined; got = door.receive(buffer))
        if (Buffer.from(buffer.subarray(0, got.length)).toString() === String(number)) return true
      await sleep(1)
    }
    return false
  } finally {
    sender.close()
    namespace.close()
  }
}

test(`each of ${PODS} pods reaches another with the first packet after its ADD`, async () => {
  const late: number[] = []
  for (let i = 0; i < PODS; i++) {
    const guest: Sandbox = {
      socket: join(lab.paths.node(NODE), "cni.sock"),
      container: randomBytes(12).toString("hex"),
      netns: join(lab.paths.namespaces, "guest"),
      namespace: "default",
      pod: "guest",
      addresses: [],
    }
    createNamespace(guest.netns)
    await cniAdd(guest)
    if (!(await firstArrives(guest, i))) late.push(i)
    await cniDel(guest)
    deleteNamespace(guest.netns)
  }
  expect(late).toEqual([])
})
