import { allow, type Case, deny, denyIngress, namespaces, worldPods } from "../../builders.ts"
import { banp, cnp, everyone, from, tcp, team, to } from "../builders.ts"

/** Histories: what changes decides from the next step on, also for priorities, tiers and labels. */
interface Step {
  readonly manifests: readonly object[]
  readonly probes: readonly object[]
}

function history(name: string, ...steps: readonly Step[]): readonly Case[] {
  return steps.map(({ manifests, probes }, step) => ({
    name: `${name}, step ${step}`,
    tags: ["history"],
    group: name,
    step,
    manifests,
    probes,
  }))
}

const world = (): readonly object[] => [...namespaces(), ...worldPods()]
const step = (manifests: readonly object[], ...probes: readonly (readonly object[])[]): Step => ({
  manifests: [...world(), ...manifests],
  probes: probes.flat(),
})
const red = team("red")

export const histories: readonly Case[] = [
  ...history(
    "a denying policy comes and goes",
    step([], allow("y/a > x/a 80")),
    step(
      [cnp("Admin 10 a", red, { ingress: [from("Deny", team("blue"))] })],
      deny("y/a > x/a 80"),
      allow("z/a > x/a 80"),
    ),
    step([], allow("y/a > x/a 80")),
  ),
  ...history(
    "two policies change places by priority",
    step(
      [
        cnp("Admin 10 a", red, { ingress: [from("Accept", team("blue"))] }),
        cnp("Admin 20 b", red, { ingress: [from("Deny", everyone)] }),
      ],
      allow("y/a > x/a 80"),
      deny("z/a > x/a 80"),
    ),
    step(
      [
        cnp("Admin 30 a", red, { ingress: [from("Accept", team("blue"))] }),
        cnp("Admin 20 b", red, { ingress: [from("Deny", everyone)] }),
      ],
      deny("y/a > x/a 80", "z/a > x/a 80"),
    ),
  ),
  ...history(
    "a policy moves from Baseline to Admin",
    step([cnp("Baseline 10 a", red, { ingress: [from("Accept", everyone)] }), denyIngress("x")], deny("y/a > x/a 80")),
    step([cnp("Admin 10 a", red, { ingress: [from("Accept", everyone)] }), denyIngress("x")], allow("y/a > x/a 80")),
  ),
  ...history(
    "a NetworkPolicy takes pods out of the baseline and gives them back",
    step([banp(everyone, { ingress: [{ action: "Deny", from: [everyone] }] })], deny("y/a > x/a 80")),
    step(
      [
        banp(everyone, { ingress: [{ action: "Deny", from: [everyone] }] }),
        {
          apiVersion: "networking.k8s.io/v1",
          kind: "NetworkPolicy",
          metadata: { name: "open", namespace: "x" },
          spec: { podSelector: {}, ingress: [{}] },
        },
      ],
      allow("y/a > x/a 80"),
      deny("x/a > y/a 80"),
    ),
    step([banp(everyone, { ingress: [{ action: "Deny", from: [everyone] }] })], deny("y/a > x/a 80")),
  ),
  ...history(
    "a rule is inserted before another",
    step([cnp("Admin 10 a", red, { egress: [to("Deny", everyone)] })], deny("x/a > y/a 80", "x/a > y/a 81")),
    step(
      [cnp("Admin 10 a", red, { egress: [to("Accept", team("blue"), tcp(80)), to("Deny", everyone)] })],
      allow("x/a > y/a 80"),
      deny("x/a > y/a 81"),
    ),
  ),
]
