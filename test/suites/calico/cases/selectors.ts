import { allow, type Case, deny } from "../../builders.ts"
import { from, intoAll, item, networkSet } from "../builders.ts"

/** Who a selector takes as a peer of x/a (2.1). The others of the five pods, and an address outside, are refused. */
const others = ["x/b", "y/a", "y/b", "z/a", "198.51.100.7"]

function takes(selector: string, chosen: readonly string[]): Case {
  const probe = (end: string): string => `${end} > x/a 80`
  return item(
    "2.1",
    `the selector ${JSON.stringify(selector)}`,
    [intoAll(from({ selector }))],
    allow(...chosen.map(probe)),
    deny(...others.filter((end) => !chosen.includes(end)).map(probe)),
  )
}

export const selectors: readonly Case[] = [
  takes("all()", ["x/b", "y/a", "y/b", "z/a"]),
  takes(" all( ) ", ["x/b", "y/a", "y/b", "z/a"]),
  takes("app == 'web'", ["y/a"]),
  takes('app=="web"', ["y/a"]),
  takes("app != 'db'", ["y/a", "z/a"]),
  takes("tier != 'front'", ["x/b", "y/a", "z/a"]),
  takes("has(tier)", ["y/a", "y/b"]),
  takes("!has(tier)", ["x/b", "z/a"]),
  takes("!!has( tier )", ["y/a", "y/b"]),
  takes("app in {'web', 'cache',}", ["y/a", "z/a"]),
  takes("app in {}", []),
  takes("app not in {'web', \"cache\"}", ["x/b", "y/b"]),
  takes("tier notin {'back'}", ["x/b", "y/b", "z/a"]),
  takes("!tier in {'back'}", ["x/b", "y/b", "z/a"]),
  takes("app contains 'e'", ["y/a", "z/a"]),
  takes("app starts with 'ca'", ["z/a"]),
  takes("app startswith 'ca'", ["z/a"]),
  takes("app ends with 'b'", ["x/b", "y/a", "y/b"]),
  takes("tier contains ''", ["y/a", "y/b"]),
  takes("app == 'web' || app == 'db' && tier == 'front'", ["y/a", "y/b"]),
  takes("(app == 'web' || app == 'db') && tier == 'front'", ["y/b"]),
  takes("!(app == 'web' || has(tier))", ["x/b", "z/a"]),
  takes("projectcalico.org/namespace == 'y'", ["y/a", "y/b"]),
  takes("projectcalico.org/namespace != 'y'", ["x/b", "z/a"]),
  takes("projectcalico.org/orchestrator == 'k8s'", ["x/b", "y/a", "y/b", "z/a"]),
  takes("projectcalico.org/serviceaccount == 'default'", ["x/b", "y/a", "y/b", "z/a"]),
  takes("pcns.team == 'blue' && pod == 'b'", ["y/b"]),
  takes("pcns.projectcalico.org/name in {'x', 'z'}", ["x/b", "z/a"]),
  item(
    "2.1",
    "absent in a negative test of a network set's labels counts as different",
    [intoAll(from({ selector: "app != 'db'" })), networkSet("partners", ["198.51.100.0/24"], { role: "partner" })],
    allow("y/a > x/a 80", "z/a > x/a 80", "198.51.100.7 > x/a 80"),
    deny("x/b > x/a 80", "y/b > x/a 80", "203.0.113.9 > x/a 80"),
  ),
]
