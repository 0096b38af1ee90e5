import { expect, test } from "vitest"
import type { Address } from "../../net/types.ts"
import type { Attachment } from "./attachment.ts"
import { LocalPods } from "./forwarding.ts"

const attachment = (pod: string, ifindex: number, phase: Attachment["phase"] = "attached"): Attachment => ({
  ...{ phase, container: `sandbox-${ifindex}`, ifname: "eth0", netns: "/run/netns/x", netnsInode: 1, network: "pods" },
  ...{ namespace: "shop", pod, addresses: [`10.0.0.${ifindex}` as Address], mac: "02:00:00:00:00:01", mtu: 1500 },
  ...{ hostName: `hd${ifindex}`, ifindex },
})

test("pods are behind their newest sandbox, and only those that changed differ between two versions", () => {
  const told: [string, readonly string[] | undefined][] = []
  const pods = new LocalPods((pod, addresses) => void told.push([pod, addresses]))
  const interfaces = () => Object.fromEntries([...pods.ports].map(([pod, { ifindex }]) => [pod, ifindex]))
  pods.change(undefined, attachment("web", 3, "making"))
  expect(interfaces()).toEqual({})
  pods.change(attachment("web", 3, "making"), attachment("web", 3))
  pods.change(undefined, attachment("db", 4))
  expect(interfaces()).toEqual({ "shop/web": 3, "shop/db": 4 })
  const before = pods.ports
  expect(pods.ports).toBe(before)
  pods.change(undefined, attachment("web", 7))
  pods.change(undefined, attachment("web", 5))
  expect(interfaces()).toEqual({ "shop/web": 7, "shop/db": 4 })
  expect(pods.ports.get("shop/db")).toBe(before.get("shop/db"))
  pods.change(attachment("web", 7), attachment("web", 7, "leaving"))
  pods.change(attachment("web", 7, "leaving"), undefined)
  expect(interfaces()).toEqual({ "shop/web": 5, "shop/db": 4 })
  pods.change(attachment("web", 5), undefined)
  pods.change(attachment("web", 3), undefined)
  expect(interfaces()).toEqual({ "shop/db": 4 })
  expect(told).toEqual([
    ["shop/web", ["10.0.0.3"]],
    ["shop/db", ["10.0.0.4"]],
    ["shop/web", ["10.0.0.7"]],
    ["shop/web", ["10.0.0.7"]],
    ["shop/web", ["10.0.0.5"]],
    ["shop/web", ["10.0.0.3"]],
    ["shop/web", undefined],
  ])
})
