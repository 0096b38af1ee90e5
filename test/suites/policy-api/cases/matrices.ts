import type { RawObject, RawProbe } from "../../../evaluator/kubernetes.ts"
import { policyApiAllows } from "../../../evaluator/policy-api.ts"
import { type Case, denyIngress, everyPair, ingress, labels, probe, world, worldKeys } from "../../builders.ts"
import { anp, banp, cnp, everyone, from, named, networks, pods, tcp, tcpRange, team, to, udp } from "../builders.ts"

/** Every pair of pods on five ports, with the independent evaluator's verdicts. */
function matrix(name: string, ...policies: readonly object[]): Case {
  const manifests = [...world(), ...policies]
  const probes = everyPair(worldKeys, ["80", "81", "53/UDP", "3868/SCTP", "ICMP"]).map((text) => {
    const asked = probe(text, "") as RawProbe
    return probe(text, policyApiAllows(manifests as readonly RawObject[], asked) ? "allow" : "deny")
  })
  return { name: `every pair: ${name}`, tags: ["matrix"], manifests, probes }
}

const red = team("red")

export const matrices: readonly Case[] = [
  matrix(
    "tenants apart, DNS for all",
    cnp("Admin 10 a", everyone, {
      ingress: [from("Accept", everyone, udp(53))],
    }),
    cnp("Admin 20 b", red, { ingress: [from("Pass", red), from("Deny", everyone)] }),
    cnp("Admin 20 c", team("blue"), {
      ingress: [from("Pass", team("blue")), from("Deny", everyone)],
    }),
  ),
  matrix(
    "three tiers",
    cnp("Admin 10 a", red, { ingress: [from("Deny", team("green"), tcp(80)), from("Pass", everyone, named("web"))] }),
    ingress("x/p", labels({ pod: "a" }), {
      from: [{ namespaceSelector: labels({ team: "blue" }) }],
      ports: [{ port: "web" }],
    }),
    cnp("Baseline 10 b", everyone, {
      ingress: [from("Accept", pods("", { app: "web" })), from("Deny", everyone, tcpRange(80, 81))],
    }),
  ),
  matrix(
    "egress and ingress together",
    cnp("Admin 5 a", pods("", { app: "web" }), {
      egress: [to("Accept", pods("", { app: "db" }), tcp(80)), to("Deny", everyone, tcp(80))],
    }),
    cnp("Admin 5 b", pods("", { app: "db" }), {
      ingress: [from("Deny", pods("green", {})), from("Accept", everyone, tcp(80), tcp(81))],
    }),
    denyIngress("x"),
  ),
  matrix(
    "many priorities",
    ...Array.from({ length: 12 }, (_, i) =>
      cnp(`Admin ${100 - i} p${i}`, i % 3 === 0 ? everyone : red, {
        ingress: [
          from(
            ["Deny", "Accept", "Pass"][i % 3] ?? "",
            pods(["red", "blue", "green", ""][i % 4] ?? "", {}),
            tcpRange(80 - i, 81 - (i % 2)),
          ),
        ],
      }),
    ),
  ),
  matrix(
    "v1alpha1",
    anp("10 a", red, {
      ingress: [
        { action: "Pass", from: [team("blue")] },
        { action: "Deny", from: [everyone] },
      ],
    }),
    denyIngress("x"),
    banp(everyone, {
      egress: [{ action: "Deny", to: [networks("10.244.2.0/24")], ports: [{ portNumber: { port: 81 } }] }],
    }),
  ),
  matrix(
    "networks over pods",
    cnp("Admin 10 a", everyone, { egress: [to("Pass", red), to("Deny", networks("10.244.1.0/24", "fd00::/8"))] }),
    cnp("Baseline 10 b", everyone, {
      egress: [to("Accept", networks("10.244.2.10/31")), to("Deny", networks("0.0.0.0/0"), udp(53))],
    }),
  ),
]
