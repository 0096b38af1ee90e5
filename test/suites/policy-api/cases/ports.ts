import { allow, type Case, deny, pod } from "../../builders.ts"
import { anp, cnp, everyone, from, inWorld, named, sctp, tcp, tcpRange, team, to, udp } from "../builders.ts"

/** Protocols and ports: numbers, ranges, names; of both API versions. */
const one = inWorld("ports")
const red = team("red")
const denying = (...protocols: readonly object[]): object =>
  cnp("Admin 10 a", red, { ingress: [from("Deny", everyone, ...protocols)] })
const anpDenying = (...ports: readonly object[]): object =>
  anp("10 a", red, { ingress: [{ action: "Deny", from: [everyone], ports }] })

export const ports: readonly Case[] = [
  one(
    "no protocols: every protocol and port, ICMP too",
    [denying()],
    deny("y/a > x/a 80", "y/a > x/a 53/UDP", "y/a > x/a 3868/SCTP", "y/a > x/a ICMP", "y/a > x/a ICMPv6"),
    allow("x/a > y/a 80"),
  ),
  one(
    "a TCP port",
    [denying(tcp(80))],
    deny("y/a > x/a 80"),
    allow("y/a > x/a 81", "y/a > x/a 80/UDP", "y/a > x/a ICMP"),
  ),
  one("a UDP port", [denying(udp(53))], deny("y/a > x/a 53/UDP"), allow("y/a > x/a 53", "y/a > x/a 80/UDP")),
  one(
    "an SCTP port",
    [denying(sctp(3868))],
    deny("y/a > x/a 3868/SCTP"),
    allow("y/a > x/a 3868", "y/a > x/a 3869/SCTP"),
  ),
  one(
    "several protocols are alternatives",
    [denying(tcp(80), udp(53))],
    deny("y/a > x/a 80", "y/a > x/a 53/UDP"),
    allow("y/a > x/a 53", "y/a > x/a 80/UDP", "y/a > x/a 3868/SCTP"),
  ),
  one(
    "a range holds both its ends",
    [denying(tcpRange(8000, 8002))],
    deny("y/a > x/a 8000", "y/a > x/a 8001", "y/a > x/a 8002"),
    allow("y/a > x/a 7999", "y/a > x/a 8003", "y/a > x/a 8001/UDP"),
  ),
  one(
    "the widest range",
    [denying(tcpRange(1, 65535))],
    deny("y/a > x/a 1", "y/a > x/a 65535"),
    allow("y/a > x/a 53/UDP", "y/a > x/a ICMP"),
  ),
  one(
    "accepting a port before denying all",
    [cnp("Admin 10 a", red, { ingress: [from("Accept", everyone, tcp(80)), from("Deny", everyone)] })],
    allow("y/a > x/a 80"),
    deny("y/a > x/a 81", "y/a > x/a 80/UDP", "y/a > x/a ICMP"),
  ),
  one(
    "a named port is what the receiving pod calls so",
    [denying(named("web"))],
    deny("y/a > x/a 80"),
    allow("y/a > x/a 81", "y/a > x/a 80/UDP"),
  ),
  one(
    "a named port matches under the protocol that the pod gives it",
    [denying(named("dns"), named("diameter"))],
    deny("y/a > x/a 53/UDP", "y/a > x/a 3868/SCTP"),
    allow("y/a > x/a 53", "y/a > x/a 3868", "y/a > x/a 80"),
  ),
  one(
    "a name that stands for another number in another pod",
    [pod("x/c", { ips: ["10.244.1.60"], ports: [{ name: "web", containerPort: 8080 }] }), denying(named("web"))],
    deny("y/a > x/c 8080", "y/a > x/a 80"),
    allow("y/a > x/c 80 v4", "y/a > x/a 8080"),
  ),
  one("a name that no pod has", [denying(named("ssh"))], allow("y/a > x/a 80", "y/a > x/a 22")),
  one(
    "a named port of egress is the far pod's",
    [
      pod("y/c", { ips: ["10.244.2.60"], ports: [{ name: "web", containerPort: 8080 }] }),
      cnp("Admin 10 a", red, { egress: [to("Deny", team("blue"), named("web"))] }),
    ],
    deny("x/a > y/a 80", "x/a > y/c 8080"),
    allow("x/a > y/c 80 v4", "x/a > z/a 80"),
  ),
  one(
    "ports of egress are the destination's",
    [cnp("Admin 10 a", red, { egress: [to("Deny", team("blue"), tcp(80))] })],
    deny("x/a > y/a 80"),
    allow("x/a > y/a 81", "y/a > x/a 80"),
  ),
  one(
    "Pass with a port",
    [
      cnp("Admin 10 a", red, { ingress: [from("Pass", everyone, tcp(80)), from("Deny", everyone)] }),
      cnp("Baseline 10 b", red, { ingress: [from("Deny", team("green"))] }),
    ],
    allow("y/a > x/a 80"),
    deny("y/a > x/a 81", "z/a > x/a 80"),
  ),
  one(
    "v1alpha1: a port number is TCP unless it says otherwise",
    [anpDenying({ portNumber: { port: 80 } })],
    deny("y/a > x/a 80"),
    allow("y/a > x/a 80/UDP", "y/a > x/a 81"),
  ),
  one(
    "v1alpha1: a port number with protocol",
    [anpDenying({ portNumber: { protocol: "UDP", port: 53 } }, { portNumber: { protocol: "SCTP", port: 3868 } })],
    deny("y/a > x/a 53/UDP", "y/a > x/a 3868/SCTP"),
    allow("y/a > x/a 53", "y/a > x/a 3868"),
  ),
  one(
    "v1alpha1: a range",
    [anpDenying({ portRange: { start: 8000, end: 8002 } }, { portRange: { protocol: "UDP", start: 53, end: 54 } })],
    deny("y/a > x/a 8000", "y/a > x/a 8002", "y/a > x/a 54/UDP"),
    allow("y/a > x/a 8003", "y/a > x/a 8001/UDP", "y/a > x/a 53"),
  ),
  one(
    "v1alpha1: a named port",
    [anpDenying({ namedPort: "dns" })],
    deny("y/a > x/a 53/UDP"),
    allow("y/a > x/a 53", "y/a > x/a 80"),
  ),
  one(
    "v1alpha1: no ports",
    [anp("10 a", red, { ingress: [{ action: "Deny", from: [team("blue")] }] })],
    deny("y/a > x/a 80", "y/a > x/a ICMP"),
    allow("z/a > x/a 80"),
  ),
]
