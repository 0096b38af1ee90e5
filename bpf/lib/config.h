/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the agent sets before load: constants to the verifier, so that the branches not taken cost nothing. */
#pragma once
#include "abi.generated.h"

#define ROUTING_VXLAN 0
#define ROUTING_NATIVE 1

const volatile __u32 uplink_ifindex;
const volatile __u32 overlay_ifindex;
/* ROUTING_*: how packets to other nodes' pods travel. */
const volatile __u32 routing;
/* UDP port of the overlay, host order; 0: none. */
const volatile __u32 overlay_port;
/* Family of the tunnel's outer addresses, 4 or 6. */
const volatile __u32 overlay_family = 4;
