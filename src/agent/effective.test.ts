import { expect, test } from "vitest"
import { ObjectStore } from "../source/objects.ts"
import { readManifests } from "../source/yaml.ts"
import { effectiveRules } from "./effective.ts"

const objects = `apiVersion: v1
kind: Pod
metadata: { name: web-0, namespace: shop, labels: { app: web } }
spec: { nodeName: n1, containers: [{ name: c, image: i }] }
status: { phase: Running, podIP: 10.0.0.1, podIPs: [{ ip: 10.0.0.1 }] }
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: admin }
spec:
  tier: Admin
  priority: 10
  subject: { namespaces: {} }
  ingress:
    - { action: Pass, from: [{ namespaces: { matchLabels: { team: ops } } }] }
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: early, namespace: shop }
spec:
  order: 10
  selector: app == 'web'
  types: [Ingress]
  ingress:
    - { action: Log }
    - { action: Allow, source: { selector: app == 'cart' } }
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: { name: soon, namespace: shop }
spec:
  order: 20
  selector: app == 'web'
  types: [Ingress]
  ingress:
    - { action: Deny, source: { nets: [192.0.2.0/24] } }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress:
    - { ports: [{ port: 80 }] }
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: guard, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - { fromEntities: [cluster] }
  ingressDeny:
    - { fromCIDR: [198.51.100.0/24] }
`

test("every language's rules stand in the order in which they are asked, each with its line", () => {
  const store = new ObjectStore({ now: () => 0 })
  for (const object of readManifests(objects, "all.yaml").objects) {
    expect(store.put(object)).toMatchObject({ outcome: "accepted" })
  }
  const cluster = store.cluster()
  const endpoint = cluster.endpoints.get("shop/web-0")
  if (endpoint === undefined) throw new Error("wanted the pod shop/web-0")
  const lines = effectiveRules(cluster, endpoint)
    .filter((rule) => rule.direction === "ingress")
    .map(
      (rule) =>
        `${rule.origin?.line} ${rule.tier} ${rule.mode} ${rule.action} ${rule.peer} | ${rule.policy} ${rule.rule}`,
    )
  expect(lines).toMatchInlineSnapshot(`
    [
      "15 kube-admin enforced pass pods in namespaces with team=ops | ClusterNetworkPolicy admin ingress[0]",
      "25 default enforced log anyone | NetworkPolicy shop/early ingress[0]",
      "26 default enforced allow (pods with app=cart in namespace shop) or in a network set with app=cart in namespace shop | NetworkPolicy shop/early ingress[1]",
      "36 default staged deny addresses in 192.0.2.0/24 | StagedNetworkPolicy shop/soon ingress[0]",
      "54 default enforced deny outside addresses addresses in 198.51.100.0/24 | CiliumNetworkPolicy shop/guard ingressDeny[0]",
      "52 default enforced allow pods or nodes or backends of service default/kubernetes | CiliumNetworkPolicy shop/guard ingress[0]",
      "44 default enforced allow anyone | NetworkPolicy shop/web ingress[0]",
      "17 default enforced deny anyone else | NetworkPolicy shop/early default",
    ]
  `)
})
