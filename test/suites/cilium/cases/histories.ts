import { allow, type Case, deny, namespace, worldPods } from "../../builders.ts"
import { ccnp, cidrGroup, ciliumWorld, cnp, inNamespace, podA, ports } from "../builders.ts"

/** Steps: what changes and what a change does to open connections (67). */
function history(
  group: string,
  number: number,
  ...steps: readonly (readonly [readonly object[], readonly object[]])[]
): readonly Case[] {
  const tags = ["cilium", "history", `item-${number}`]
  return steps.map(([policies, probes], step) => ({
    name: `${group}, step ${step}`,
    tags,
    group,
    step,
    manifests: [...ciliumWorld(), ...policies],
    probes,
  }))
}

const connection = (became: "kept" | "cut", probes: readonly object[]): readonly object[] =>
  probes.map((one) => ({ ...one, connection: became }))
const fromY = cnp("x/allow", { endpointSelector: podA, ingress: [{ fromEndpoints: [inNamespace("y")] }] })

export const histories: readonly Case[] = [
  ...history(
    "a new denial cuts a live connection",
    67,
    [[fromY], allow("y/a > x/a 80", "y/b > x/a 80")],
    [
      [
        fromY,
        cnp("x/deny", { endpointSelector: podA, ingressDeny: [{ fromEndpoints: [inNamespace("y", { pod: "a" })] }] }),
      ],
      [...connection("cut", deny("y/a > x/a 80")), ...connection("kept", allow("y/b > x/a 80"))],
    ],
    [[fromY], [...allow("y/a > x/a 80"), ...connection("kept", allow("y/b > x/a 80"))]],
  ),
  ...history(
    "an open policy gets default deny",
    28,
    [
      [
        cnp("x/p", {
          endpointSelector: podA,
          enableDefaultDeny: { ingress: false },
          ingress: [{ toPorts: ports("80/TCP") }],
        }),
      ],
      allow("y/a > x/a 80", "y/a > x/a 81"),
    ],
    [
      [cnp("x/p", { endpointSelector: podA, ingress: [{ toPorts: ports("80/TCP") }] })],
      [...allow("y/a > x/a 80"), ...deny("y/a > x/a 81")],
    ],
  ),
  ...history(
    "a CIDR group grows and shrinks",
    52,
    [
      [
        cidrGroup("office", ["198.51.100.0/24"]),
        cnp("x/p", { endpointSelector: podA, ingress: [{ fromCIDRSet: [{ cidrGroupRef: "office" }] }] }),
      ],
      [...allow("198.51.100.7 > x/a 80"), ...deny("203.0.113.9 > x/a 80")],
    ],
    [
      [
        cidrGroup("office", ["198.51.100.0/24", "203.0.113.0/24"]),
        cnp("x/p", { endpointSelector: podA, ingress: [{ fromCIDRSet: [{ cidrGroupRef: "office" }] }] }),
      ],
      allow("198.51.100.7 > x/a 80", "203.0.113.9 > x/a 80"),
    ],
    [
      [
        cidrGroup("office", ["203.0.113.0/24"]),
        cnp("x/p", { endpointSelector: podA, ingress: [{ fromCIDRSet: [{ cidrGroupRef: "office" }] }] }),
      ],
      [...allow("203.0.113.9 > x/a 80"), ...deny("198.51.100.7 > x/a 80")],
    ],
  ),
  ...history(
    "a clusterwide denial comes and goes",
    35,
    [[fromY], allow("y/a > x/a 80", "z/a > y/a 80")],
    [
      [
        fromY,
        ccnp("deny", {
          endpointSelector: {},
          enableDefaultDeny: { ingress: false },
          ingressDeny: [{ fromEndpoints: [podA] }],
        }),
      ],
      [...deny("y/a > x/a 80", "z/a > y/a 80"), ...allow("y/b > x/a 80", "y/b > z/a 80")],
    ],
    [[fromY], allow("y/a > x/a 80", "z/a > y/a 80")],
  ),
  ...["blue", "green"].map((team, step): Case => {
    const teams = [namespace("x", { team: "red" }), namespace("y", { team }), namespace("z", { team: "green" })]
    const policy = cnp("x/p", {
      endpointSelector: podA,
      ingress: [{ fromEndpoints: [{ matchLabels: { "io.cilium.k8s.namespace.labels.team": "blue" } }] }],
    })
    const group = "a namespace is relabelled under a Cilium policy"
    const probes = (step === 0 ? allow : deny)("y/a > x/a 80", "y/b > x/a 80")
    return {
      name: `${group}, step ${step}`,
      tags: ["cilium", "history", "item-21"],
      group,
      step,
      manifests: [...teams, ...worldPods(), policy],
      probes,
    }
  }),
]
